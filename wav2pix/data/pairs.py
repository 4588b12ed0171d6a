"""The table of pairs of a data set: which face and which speech belong together, and where they are from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from wav2pix.errors import DataError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_COLUMNS = ("face", "identity", "recording", "time_s", "split")


@dataclass(frozen=True)
class Pairs:
    """The table of pairs, a column each, with names instead of indices."""

    face: npt.NDArray[np.int64]
    identity: npt.NDArray[np.str_]
    recording: npt.NDArray[np.str_]
    time_s: npt.NDArray[np.float64]
    split: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.face)

    def rows(self) -> list[tuple[str, ...]]:
        """One tuple of text for each pair, as the table has it; times to the millisecond."""
        columns = (self.face, self.identity, self.recording, self.time_s, self.split)
        return [
            (str(face), str(identity), str(recording), f"{time_s:.3f}", str(split))
            for face, identity, recording, time_s, split in zip(*columns, strict=True)
        ]


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write the table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(pairs.rows())


def read_pairs(path: Path, num_faces: int) -> Pairs:
    """Read the table back.

    Raises:
        DataError: it is no such table, or names a face or a split that does not exist.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != _COLUMNS:
                raise damaged(path, f"the first line is not '{','.join(_COLUMNS)}'")
            columns = list(zip(*reader, strict=True)) or [()] * len(_COLUMNS)
        face, identity, recording, time_s, split = (np.array(column) for column in columns)
        pairs = Pairs(face.astype(np.int64), identity, recording, time_s.astype(np.float64), split)
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(path, str(error)) from None
    if len(pairs) and not (pairs.face.min() >= 0 and pairs.face.max() < num_faces):
        raise damaged(path, f"names a face that is not among the {num_faces} of faces.npy")
    unknown = set(pairs.split.tolist()) - set(SPLITS)
    if unknown:
        raise damaged(path, f"'{min(unknown)}' is no split; there are {', '.join(SPLITS)}")
    return pairs


def damaged(path: Path, what: str) -> DataError:
    """The error for a file of a data set that does not hold what it should."""
    return DataError(f"{path}: damaged ({what}): prepare the data set again")
