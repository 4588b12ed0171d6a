"""One process at a time: a file that stays locked for as long as its holder lives, however it ends."""

from __future__ import annotations

import fcntl
import os
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
        while not _try(handle):
            if time.monotonic() >= deadline:
                pid = os.pread(handle, 32, 0).decode(errors="replace").strip()
                raise SweepError(f"{what} is in use by process {pid or '?'}; wait for it or end it")
            time.sleep(POLL_S)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not _try(handle)
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
