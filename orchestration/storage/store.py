"""What every store of artifacts can do.

An artifact is a folder under a key such as ``trials/0007/checkpoints/epoch-0003``. A list of its files with
their sizes and hashes is written last: what has none is not there, and what differs from it is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from orchestration.errors import StorageError
from orchestration.storage.manifest import Manifest


class ArtifactStore(Protocol):
    """A key has parts of letters, digits, '-', '_' and '.', joined by '/'; none is the beginning of another."""

    def put(self, key: str, source: Path) -> None:
        """Keep a copy of a folder, in place of what the key held."""

    def get(self, key: str, target: Path, only: Collection[str] | None = None) -> None:
        """Copy an artifact, or only some of its files, to the folder ``target``, which is not there yet.

        Raises:
            MissingArtifact: there is none.
            DamagedArtifact: it is not what was put there; ``target`` is not made.
        """

    def list(self, prefix: str) -> list[str]:
        """The keys of all whole artifacts below ``prefix``, sorted."""

    def delete(self, key: str) -> None:
        """Forget an artifact; nothing happens if there is none."""

    def move(self, key: str, to: str) -> None:
        """Give an artifact another key, as it is, damaged or not; nothing happens if there is none."""


@dataclass(frozen=True)
class Stored:
    """Something that takes up space in a store.

    Attributes:
        where: for a person.
        key: of the artifact; empty: it is none, but what was left of one.
        remove: frees the space.
    """

    where: str
    num_bytes: int
    remove: Callable[[], None]
    key: str = ""


class FullStore(ArtifactStore, Protocol):
    """A store that can be looked into and tidied up."""

    def manifest(self, key: str) -> Manifest:
        """What an artifact must be.

        Raises:
            MissingArtifact: there is none.
            DamagedArtifact: the manifest cannot be read.
        """

    def stored(self, prefix: str) -> Sequence[Stored]:
        """All that takes up space below ``prefix``: artifacts, and what is left of others."""


def check_key(key: str) -> str:
    """The key, if it stays below the root of a store.

    Raises:
        StorageError: it does not.
    """
    path = PurePosixPath(key)
    if path.is_absolute() or str(path) != key or any(part.startswith(".") for part in path.parts):
        raise StorageError(f"'{key}' is no key of an artifact")
    return key
