"""Files that are the user's alone, written in full or not at all, and locks that end with their holder."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def write_private(path: Path, content: bytes) -> None:
    """Write a file that is there in full or not at all, and that only its owner may read."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_if_there(path: Path) -> bytes:
    """The content of a file; nothing where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One thread of one process at a time, on any host; for blocks that wait for nothing."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
