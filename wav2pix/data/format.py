"""The prepared data set: one folder of four files that are mapped, never decoded pair by pair.

    speech.npy    (N, T) int16          one window of speech for each pair
    faces.npy     (F, S, S, 3) uint8    RGB, each distinct face once
    pairs.csv     face,identity,recording,time_s,split    row i belongs to speech[i]
    dataset.json  version, rates, sizes, names of identities, counts, content hash, source

A folder is complete or absent: it is written under another name beside its place and renamed at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wav2pix.data.folder import FILES, replace_folder
from wav2pix.data.pairs import SPLITS, Pairs, Split, damaged, read_pairs, write_pairs
from wav2pix.data.rows import write_rows
from wav2pix.errors import DataError

FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared data set, mapped from its folder.

    N pairs of a window of T samples and one of F faces of S by S pixels.

    Attributes:
        root: its folder.
        identities: sorted names; the place in this tuple is the class.
        sample_rate_hz: of the speech.
        image_size: S, in pixels.
        content_hash: SHA-256 of the arrays and the table; the same for the same content anywhere.
        source: where it came from, as its maker wrote it down.
        speech: (N, T) int16, read-only.
        faces: (F, S, S, 3) uint8 RGB, read-only.
        face: (N,) the row of ``faces`` for each pair.
        identity: (N,) index in ``identities``.
        recording: (N,) index in ``recordings``.
        recordings: sorted names.
        time_s: (N,) time of the face within its recording, in seconds.
        split: (N,) ``train``, ``validation`` or ``test``.
    """

    root: Path
    identities: tuple[str, ...]
    sample_rate_hz: int
    image_size: int
    content_hash: str
    source: Mapping[str, Any]
    speech: npt.NDArray[np.int16]
    faces: npt.NDArray[np.uint8]
    face: npt.NDArray[np.int64]
    identity: npt.NDArray[np.int64]
    recording: npt.NDArray[np.int64]
    recordings: tuple[str, ...]
    time_s: npt.NDArray[np.float64]
    split: npt.NDArray[np.str_]

    def indices(self, split: Split) -> npt.NDArray[np.int64]:
        """The pairs of a split, ascending."""
        return np.flatnonzero(self.split == split)

    def __len__(self) -> int:
        return len(self.face)

    def __reduce__(self) -> tuple[Callable[[Path], Dataset], tuple[Path]]:
        # Another process maps the files again instead of receiving a copy of the arrays.
        return open_dataset, (self.root,)


def write_dataset(
    root: Path,
    *,
    speech: npt.NDArray[np.int16] | Iterable[npt.NDArray[np.int16]],
    faces: npt.NDArray[np.uint8] | Iterable[npt.NDArray[np.uint8]],
    pairs: Pairs,
    sample_rate_hz: int,
    source: Mapping[str, Any],
    overwrite: bool = False,
    finish: Callable[[Path], None] = lambda _: None,
) -> Dataset:
    """Write a data set so that it is there completely or not at all, and open it.

    Args:
        root: the folder to make.
        speech: (N, T) int16, or blocks of its rows, which are then never in memory together.
        faces: (F, S, S, 3) uint8 RGB, or blocks of its rows.
        pairs: N rows.
        sample_rate_hz: of the speech.
        source: where the data came from; anything that JSON can hold.
        overwrite: replace a data set that is there already. Anything else is never replaced.
        finish: adds to the folder of the data set before it is put in its place.

    Raises:
        DataError: the folder exists, or cannot be written, or the parts do not fit together.
    """
    if len(pairs) == 0:
        raise DataError("there is not a single pair of speech and face: no data set was written")

    def fill(folder: Path) -> None:
        windows = write_rows(folder / "speech.npy", speech, np.dtype("<i2"))
        pictures = write_rows(folder / "faces.npy", faces, np.dtype("u1"))
        _check_parts(windows, pictures, pairs)
        write_pairs(folder / "pairs.csv", pairs)
        description = _describe(windows, pictures, pairs, sample_rate_hz) | {"source": dict(source)}
        text = json.dumps(description, indent=2, ensure_ascii=False)
        (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")
        finish(folder)

    replace_folder(root, fill, overwrite=overwrite)
    return open_dataset(root)


def _describe(
    speech: npt.NDArray[np.int16], faces: npt.NDArray[np.uint8], pairs: Pairs, sample_rate_hz: int
) -> dict[str, Any]:
    identities = sorted(set(pairs.identity.tolist()))
    return {
        "version": FORMAT_VERSION,
        "sample_rate_hz": sample_rate_hz,
        "samples": speech.shape[1],
        "image_size": faces.shape[1],
        "identities": identities,
        "counts": {
            "pairs": len(pairs),
            "faces": len(faces),
            "identities": len(identities),
            "recordings": len(set(pairs.recording.tolist())),
            "splits": {split: int(np.count_nonzero(pairs.split == split)) for split in SPLITS},
        },
        "content_hash": _content_hash(speech, faces, pairs, sample_rate_hz),
    }


def open_dataset(root: Path) -> Dataset:
    """Map a prepared data set.

    Only the description, the table and the headers of the arrays are read: the check is that they fit
    together, not that the content is unchanged (``content_hash_of`` reads everything).

    Raises:
        DataError: the folder is missing, incomplete, of another version, or its parts contradict each other.
    """
    description = _read_description(root)
    try:
        counts = description["counts"]
        sample_rate_hz, samples = int(description["sample_rate_hz"]), int(description["samples"])
        image_size = int(description["image_size"])
        speech_shape = (int(counts["pairs"]), samples)
        faces_shape = (int(counts["faces"]), image_size, image_size, 3)
        content_hash = str(description["content_hash"])
        source = dict(description["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(root / "dataset.json", f"the entry {error} is missing or of the wrong type") from None
    speech = _map(root / "speech.npy", np.dtype("<i2"), speech_shape)
    faces = _map(root / "faces.npy", np.dtype("u1"), faces_shape)
    pairs = read_pairs(root / "pairs.csv", faces_shape[0])
    if len(pairs) != len(speech):
        raise damaged(root / "pairs.csv", f"{len(pairs)} rows where speech.npy has {len(speech)} windows")
    identities, identity = np.unique(pairs.identity, return_inverse=True)
    recordings, recording = np.unique(pairs.recording, return_inverse=True)
    if identities.tolist() != description.get("identities"):
        raise damaged(root / "pairs.csv", "its identities are not those of dataset.json")
    return Dataset(
        root=root,
        identities=tuple(identities.tolist()),
        sample_rate_hz=sample_rate_hz,
        image_size=image_size,
        content_hash=content_hash,
        source=source,
        speech=speech,
        faces=faces,
        face=pairs.face,
        identity=identity.astype(np.int64),
        recording=recording.astype(np.int64),
        recordings=tuple(recordings.tolist()),
        time_s=pairs.time_s,
        split=pairs.split,
    )


def pairs_of(data: Dataset) -> Pairs:
    """The table of an open data set, with names."""
    return Pairs(
        face=data.face,
        identity=np.array(data.identities)[data.identity],
        recording=np.array(data.recordings)[data.recording],
        time_s=data.time_s,
        split=data.split,
    )


def content_hash_of(data: Dataset) -> str:
    """The hash of what the files hold now; equals ``data.content_hash`` unless something changed them."""
    return _content_hash(data.speech, data.faces, pairs_of(data), data.sample_rate_hz)


def _content_hash(
    speech: npt.NDArray[np.int16],
    faces: npt.NDArray[np.uint8],
    pairs: Pairs,
    sample_rate_hz: int,
) -> str:
    digest = hashlib.sha256(f"wav2pix data {FORMAT_VERSION} {sample_rate_hz} Hz\n".encode())
    for name, array in (("speech", speech), ("faces", faces)):
        digest.update(f"{name} {array.shape}\n".encode())
        for start in range(0, len(array), 1024):  # blocks, so that a mapped array is never wholly in memory
            part = array[start : start + 1024]
            digest.update(np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes())
    digest.update(json.dumps(pairs.rows()).encode())
    return digest.hexdigest()


def _check_parts(speech: npt.NDArray[np.int16], faces: npt.NDArray[np.uint8], pairs: Pairs) -> None:
    """Bugs of our own are assertions."""
    assert speech.dtype == np.int16 and speech.ndim == 2
    assert faces.dtype == np.uint8 and faces.ndim == 4 and faces.shape[1:] == (faces.shape[1],) * 2 + (3,)
    assert len(speech) == len(pairs)
    assert pairs.face.min() >= 0 and pairs.face.max() < len(faces)
    unknown = set(pairs.split.tolist()) - set(SPLITS)
    assert not unknown, unknown


def _read_description(root: Path) -> dict[str, Any]:
    if not root.is_dir():
        raise DataError(f"{root}: no data set here; 'wav2pix data build', 'import' or 'synth' makes one")
    missing = [name for name in FILES if not (root / name).is_file()]
    if len(missing) == len(FILES):
        raise DataError(
            f"{root}: not a prepared data set; 'wav2pix data import {root} --out DIR' makes one from a folder "
            "of identities with faces and speech"
        )
    if missing:
        raise DataError(f"{root}: {' and '.join(missing)} missing: prepare the data set again")
    try:
        description = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(root / "dataset.json", str(error)) from None
    version = description.get("version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{root / 'dataset.json'}: version {version}, and this wav2pix reads version {FORMAT_VERSION}: "
            "prepare the data set again"
        )
    assert isinstance(description, dict)
    return description


def _map(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, str(error)) from None
    if array.dtype != dtype or array.shape != shape:
        raise damaged(path, f"holds {array.dtype} {array.shape}, dataset.json says {dtype} {shape}")
    return array
