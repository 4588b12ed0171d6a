"""One process at a time: a file that stays locked for as long as its holder lives, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.errors import SweepError

POLL_S = 0.1


@contextmanager
def hold(path: Path, what: str, wait_s: float = 0) -> Iterator[None]:
    """Hold the lock ``path`` during the block.

    Raises:
        SweepError: ``what`` (a sentence's subject) is still held by another process after ``wait_s``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while not _try(handle, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                holder = os.pread(handle, 256, 0).decode(errors="replace").strip()
                raise SweepError(f"{what} is in use by process {holder or '?'}; wait for it or end it")
            time.sleep(POLL_S)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Network file systems give no exclusive lock of a file that is open for reading only.
        return not _try(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _try(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
