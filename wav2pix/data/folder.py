"""Putting a finished folder in its place in one step."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from wav2pix.errors import DataError

FILES = ("speech.npy", "faces.npy", "pairs.csv", "dataset.json")


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
            if strange := sorted({path.name for path in root.iterdir()} - set(FILES)):
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
    """Let ``fill`` write files into a folder beside ``root``, then put it in the place of ``root``.

    What a killed process leaves behind is a hidden folder ``.NAME.partial-*`` that nothing ever reads.
    When a data set is replaced, the old one is moved aside first and comes back if the new one cannot
    take its place.

    Raises:
        DataError: as ``check_target``, or the disk refuses.
    """
    check_target(root, overwrite=overwrite)
    root = root.resolve()
    token = secrets.token_hex(4)
    partial = root.with_name(f".{root.name}.partial-{token}")
    old = root.with_name(f".{root.name}.partial-{token}-old")
    try:
        partial.mkdir()
        fill(partial)
        for path in (*partial.iterdir(), partial):
            _sync(path)
        if root.exists():
            root.rename(old)
        partial.rename(root)
        _sync(root.parent)
    except OSError as error:
        raise _unwritable(root, error) from None
    finally:
        if old.exists() and not root.exists():
            old.rename(root)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(root: Path, error: OSError) -> DataError:
    return DataError(
        f"{root}: cannot be written ({error.strerror or error}): choose another --out or free space"
    )
