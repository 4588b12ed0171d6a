"""A job's own folder on the disk of its node: private, short, gone with the job.

A job that was killed cannot tidy up; the next one of the same user on the node does it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm.errors import SlurmError

PREFIX = "w2p-"
LOCK = "lock"
# A folder that was just made is not locked yet.
NEW_S = 5.0
# Sockets have paths of at most 107 bytes, of which Ray's own part takes 80.
MAX_PATH = 27


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """Make a folder of mode 0700 in ``parent`` and remove it at the end of the block.

    Raises:
        SlurmError: ``parent`` cannot be written, or its path is too long for the names of Ray's sockets.
    """
    check_length(parent)
    try:
        _remove_dead(parent)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise SlurmError(
            f"{parent} on this node cannot be used ({error.strerror}); choose another 'scratch' in the profile"
        ) from error
    try:
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_length(parent: Path) -> None:
    """Nothing, or an error if sockets in a folder in ``parent`` would have paths that are too long.

    Raises:
        SlurmError: they would.
    """
    length = len(os.fsencode(parent)) + len(f"/{PREFIX}12345678")
    if length > MAX_PATH:
        raise SlurmError(
            f"{parent} is {length - MAX_PATH} characters too long for the names of Ray's sockets, of which a "
            "system allows 107; choose a shorter 'scratch' in the profile, such as /tmp"
        )


def _remove_dead(parent: Path) -> None:
    """Remove what killed jobs of this user left: folders whose lock nobody holds."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            status = folder.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < NEW_S:
                continue
            with (folder / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
