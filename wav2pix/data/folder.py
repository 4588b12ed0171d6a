"""Putting a finished folder in its place in one step."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from wav2pix.errors import DataError
from wav2pix.files import new_folder

FILES = ("speech.npy", "faces.npy", "pairs.csv", "dataset.json")
REPORT = "report.html"  # beside them where a data set was made from videos


def check_target(root: Path, *, overwrite: bool = False) -> None:
    """Raise unless a data set may be written to ``root``; called before the long work starts.

    Raises:
        DataError: something is there that may not be replaced, or the place cannot be written.
    """
    if root.exists() or root.is_symlink():
        if not root.is_dir() or root.is_symlink():
            raise DataError(f"{root}: exists and is no folder of its own: choose another --out")
        if any(root.iterdir()):
            if not (root / "dataset.json").is_file():
                raise DataError(f"{root}: exists and is no data set, so it is left alone: choose another --out")
            if strange := sorted({path.name for path in root.iterdir()} - {*FILES, REPORT}):
                raise DataError(
                    f"{root}: holds '{strange[0]}' besides a data set, so it is left alone: use another --out"
                )
            if not overwrite:
                raise DataError(f"{root}: a data set is there already: choose another --out or use --overwrite")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(root, error) from None
    if not os.access(root.parent, os.W_OK | os.X_OK):
        raise DataError(f"{root}: cannot be written: no permission to write in {root.parent}")


def replace_folder(root: Path, fill: Callable[[Path], None], *, overwrite: bool = False) -> None:
    """Let ``fill`` write files into a hidden folder beside ``root``, then put it in the place of ``root``.

    Raises:
        DataError: as ``check_target``, or the disk refuses.
    """
    check_target(root, overwrite=overwrite)
    try:
        with new_folder(root) as partial:
            fill(partial)
    except OSError as error:
        raise _unwritable(root, error) from None


def _unwritable(root: Path, error: OSError) -> DataError:
    return DataError(
        f"{root}: cannot be written ({error.strerror or error}): choose another --out or free space"
    )
