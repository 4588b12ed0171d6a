"""Synthetic speakers for demonstrations and tests: the voice and the face both come from the identity.

The bytes are the same on every machine: random numbers are the raw output of PCG64, whose stream NumPy keeps,
and all else is elementary arithmetic on arrays that IEEE 754 defines to the bit (:mod:`wav2pix.data.exact`),
rounded to whole numbers at the end. There is no BLAS, no filter or transform of a library, no font and no
thread in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wav2pix.data.draw import draw_faces
from wav2pix.data.exact import Array, Stream
from wav2pix.data.face import make_face, make_views
from wav2pix.data.folder import check_target
from wav2pix.data.format import Dataset, open_dataset, write_dataset
from wav2pix.data.pairs import Pairs
from wav2pix.data.splits import split_pairs
from wav2pix.data.voice import (
    FRAMES_PER_S,
    LEAD_FRAMES,
    LOW_VOICE_HZ,
    SAMPLE_RATE_HZ,
    Score,
    make_score,
    make_voice,
    speak,
)
from wav2pix.errors import DataError

GENERATOR_VERSION = 1


@dataclass(frozen=True)
class SynthArguments:
    """What a synthetic data set is made from; the same arguments make the same bytes."""

    identities: int
    recordings: int
    seconds: int
    seed: int
    image_size: int

    def source(self) -> dict[str, Any]:
        """As ``dataset.json`` keeps it."""
        return {"kind": "synthetic", "generator": GENERATOR_VERSION, **asdict(self)}


def synthesise(
    root: Path,
    arguments: SynthArguments,
    *,
    overwrite: bool = False,
    exist_ok: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Dataset:
    """Make a data set of synthetic speakers: a pair for each second of each recording.

    The window of speech is the second around the face. Recordings do not overlap.

    Args:
        root: the folder to make.
        arguments: what to make.
        overwrite: replace a data set that is there already.
        exist_ok: if one made from the same arguments is there, leave it and open it.
        progress: called with the number of finished identities and of all.

    Raises:
        DataError: impossible arguments, or ``root`` cannot be written or holds something else.
    """
    check_speakers(arguments.identities, arguments.recordings, arguments.seconds, arguments.seed)
    if arguments.image_size not in (64, 128):
        raise DataError("--image-size must be 64 or 128")
    if exist_ok and (root / "dataset.json").is_file():
        existing = open_dataset(root)
        _check_same(root, dict(existing.source), arguments.source())
        return existing
    check_target(root, overwrite=overwrite)
    speech, faces = [], []
    for identity in range(arguments.identities):
        progress(identity, arguments.identities)
        heard, seen = _person(arguments, identity)
        speech.extend(heard)
        faces.extend(seen)
    progress(arguments.identities, arguments.identities)
    return write_dataset(
        root,
        speech=np.concatenate(speech),
        faces=np.concatenate(faces),
        pairs=_pairs(arguments),
        sample_rate_hz=SAMPLE_RATE_HZ,
        source=arguments.source(),
        overwrite=overwrite,
    )


def _person(
    arguments: SynthArguments, identity: int
) -> tuple[list[npt.NDArray[np.int16]], list[npt.NDArray[np.uint8]]]:
    """The recordings of an identity: speech (seconds, 16000) and faces (seconds, S, S, 3) of each."""
    seed = arguments.seed
    voice = make_voice(seed, identity)
    face = make_face(seed, identity, low_voice=voice.f0_hz < LOW_VOICE_HZ)
    recordings = range(arguments.recordings)
    scores = [make_score(voice, arguments.seconds, Stream(seed, identity, r, 2)) for r in recordings]
    speech = speak(voice, scores, [Stream(seed, identity, r, 3) for r in recordings])
    faces = []
    for recording, score in enumerate(scores):
        views = make_views(_openings(score, arguments.seconds), Stream(seed, identity, recording, 4))
        faces.append(draw_faces(face, views, arguments.image_size))
    return speech, faces


def _openings(score: Score, seconds: int) -> Array:
    """How far the mouth is open in the middle of each second."""
    middle = LEAD_FRAMES + FRAMES_PER_S // 2
    return score.opening[middle::FRAMES_PER_S][:seconds]


def _pairs(arguments: SynthArguments) -> Pairs:
    a = arguments
    identity = np.repeat(np.arange(a.identities), a.recordings * a.seconds)
    recording = np.repeat(np.arange(a.identities * a.recordings), a.seconds)
    digits = max(2, len(str(a.identities - 1))), max(2, len(str(a.recordings - 1)))
    names = [f"speaker{number:0{digits[0]}d}" for number in range(a.identities)]
    takes = [f"{name}-{take:0{digits[1]}d}" for name in names for take in range(a.recordings)]
    return Pairs(
        face=np.arange(len(identity), dtype=np.int64),
        identity=np.array(names)[identity],
        recording=np.array(takes)[recording],
        time_s=np.tile(np.arange(a.seconds) + 0.5, a.identities * a.recordings),
        split=split_pairs(identity, recording, seed=a.seed),
    )


def check_speakers(identities: int, recordings: int, seconds: int, seed: int) -> None:
    """Raise DataError unless these many synthetic speakers can be trained on."""
    if identities < 2:
        raise DataError("--identities must be at least 2: a face of another person is part of the training")
    if recordings < 3:
        raise DataError("--recordings must be at least 3: one each for training, validation and test")
    if seconds < 1:
        raise DataError("--seconds must be at least 1")
    if seed < 0:
        raise DataError("--seed must not be negative")


def _check_same(root: Path, existing: dict[str, Any], wanted: dict[str, Any]) -> None:
    if existing.get("kind") != wanted["kind"]:
        raise DataError(f"{root}: holds a data set that was not synthesised: choose another --out")
    different = [
        f"{key.replace('_', ' ')} {existing.get(key)}, not {value}"
        for key, value in wanted.items()
        if existing.get(key) != value
    ]
    if different:
        raise DataError(
            f"{root}: holds synthetic speakers made otherwise ({'; '.join(different)}): "
            "choose another --out or use --overwrite"
        )
