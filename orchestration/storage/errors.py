"""What can go wrong with a store: kinds of :class:`orchestration.errors.StorageError`, worded for a user."""

from __future__ import annotations

import errno
from pathlib import Path

from orchestration.errors import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT)


class MissingArtifact(StorageError):
    """There is no such artifact, or not all of it."""


class DamagedArtifact(StorageError):
    """An artifact is not what was put there: a file is shorter, other, or gone."""


class DiskFull(StorageError):
    """There is no room. It passes when somebody makes some."""


class StoreAway(StorageError):
    """The store does not answer or does not let us in. It passes: servers come back and keys are renewed."""


def missing(key: str) -> MissingArtifact:
    """For a key that holds nothing."""
    return MissingArtifact(f"there is no artifact '{key}'")


def unwritable(path: Path, error: OSError) -> StorageError:
    """For what the file system refuses to write or remove."""
    if error.errno in FULL:
        return DiskFull(f"{path} cannot be written: {error.strerror}; free space there")
    return StorageError(f"{path} cannot be written: {error.strerror}; mend the folder")


def uncopied(source: Path, target: Path, error: OSError) -> StorageError:
    """For what cannot be copied, whichever of the two is to blame."""
    if error.errno in FULL:
        return unwritable(target, error)
    return StorageError(f"{source} cannot be copied to {target}: {error.strerror}; mend the folder")


def unreadable(path: Path, error: OSError) -> StorageError:
    """For what the file system refuses to read."""
    return StorageError(f"{path} cannot be read: {error.strerror}; mend the folder")
