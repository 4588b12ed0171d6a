"""Synthetic speakers as videos: MP4 files, and a list of them that ``wav2pix data build`` takes.

What is shown and heard is the same everywhere; the encoded bytes are those of the encoder that is installed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from wav2pix.data.camera import FPS, HEIGHT, SHOWN, WIDTH, Film, make_films
from wav2pix.data.synth import check_speakers
from wav2pix.data.voice import SAMPLE_RATE_HZ
from wav2pix.errors import DataError
from wav2pix.files import new_folder

GENERATOR_VERSION = 1
LISTING = "videos.csv"
_MARK = "synthetic.json"


@dataclass(frozen=True)
class VideoArguments:
    """What synthetic videos are made from.

    Attributes:
        identities: number of speakers.
        recordings: videos of each.
        seconds: length of a video.
        seed: another one makes other people.
    """

    identities: int
    recordings: int
    seconds: int
    seed: int

    def __post_init__(self) -> None:
        check_speakers(self.identities, self.recordings, self.seconds, self.seed)

    def source(self) -> dict[str, Any]:
        """As the folder keeps it."""
        return {"kind": "synthetic videos", "generator": GENERATOR_VERSION, **asdict(self)}


def synthesise_videos(
    root: Path,
    arguments: VideoArguments,
    *,
    overwrite: bool = False,
    exist_ok: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Make a folder of videos, H.264 and AAC at 24 frames a second, and their list for ``wav2pix data build``.

    Args:
        root: the folder to make.
        arguments: what to make.
        overwrite: replace synthetic videos that are there already.
        exist_ok: if those of the same arguments are there, leave them.
        progress: called with the number of finished videos and of all.

    Returns:
        The list, ``videos.csv``.

    Raises:
        DataError: ``root`` cannot be written or holds something else.
    """
    if not _check_target(root, arguments, overwrite=overwrite, exist_ok=exist_ok):
        return root / LISTING
    names = _names(arguments)
    done = 0
    try:
        with new_folder(root) as folder:
            for identity, own in enumerate(names):
                films = make_films(arguments.seed, identity, arguments.recordings, arguments.seconds)
                for name, film in zip(own, films, strict=True):
                    progress(done, arguments.identities * arguments.recordings)
                    write_film(folder / f"{name}.mp4", film)
                    done += 1
            _write_list(folder / LISTING, names)
            (folder / _MARK).write_text(json.dumps(arguments.source()) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{root}: cannot be written ({error.strerror or error}): choose another --out or free space"
        ) from None
    progress(done, done)
    return root / LISTING


def write_film(path: Path, film: Film) -> None:
    """Encode a film as MP4, with its frames from 0 s on."""
    with av.open(path, "w") as out:
        picture = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "20"})
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        picture.codec_context.thread_count = 1
        heard = out.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono", options={"aac_coder": "fast"})
        heard.bit_rate = 96000
        num_heard = 0
        for number, pixels in enumerate(film.pictures()):
            for shown in range(SHOWN):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number * SHOWN + shown, Fraction(1, FPS)
                out.mux(picture.encode(frame))
            until = (number + 1) * SHOWN * SAMPLE_RATE_HZ // FPS
            out.mux(heard.encode(_sound_frame(film, num_heard, until)))
            num_heard = until
        out.mux(picture.encode(None))
        out.mux(heard.encode(None))


def _sound_frame(film: Film, first: int, end: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(film.sound[None, first:end], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, first, Fraction(1, SAMPLE_RATE_HZ)
    return frame


def _names(arguments: VideoArguments) -> list[list[str]]:
    """For each identity the names of its recordings, as in :mod:`wav2pix.data.synth`."""
    digits = [max(2, len(str(count - 1))) for count in (arguments.identities, arguments.recordings)]
    speakers = [f"speaker{number:0{digits[0]}d}" for number in range(arguments.identities)]
    return [[f"{name}-{take:0{digits[1]}d}" for take in range(arguments.recordings)] for name in speakers]


def _write_list(path: Path, names: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("identity", "video", "licence"))
        for own in names:
            writer.writerows((name.rsplit("-", 1)[0], f"{name}.mp4", "synthetic") for name in own)


def _check_target(root: Path, arguments: VideoArguments, *, overwrite: bool, exist_ok: bool) -> bool:
    """Whether there is something to do; raise where it may not be done."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return True
    mark = root / _MARK
    if root.is_symlink() or not mark.is_file():
        raise DataError(
            f"{root}: exists and holds no synthetic videos, so it is left alone: choose another --out"
        )
    if overwrite:
        return True
    if not exist_ok:
        raise DataError(f"{root}: synthetic videos are there already: choose another --out or use --overwrite")
    if mark.read_text(encoding="utf-8") != json.dumps(arguments.source()) + "\n":
        raise DataError(
            f"{root}: holds synthetic videos made otherwise: choose another --out or use --overwrite"
        )
    return False
