"""Where artifacts are kept: checkpoints, pictures, anything that a trial leaves behind.

An artifact is a file or a folder under a key such as ``trials/0007/checkpoints/epoch-0003``. It is there in
full or not at all.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Protocol

from orchestration.errors import StorageError
from wav2pix.files import new_folder, write_atomically


class ArtifactStore(Protocol):
    """What every store can do. A key has parts of letters, digits, '-', '_' and '.', joined by '/'."""

    def put(self, key: str, source: Path) -> None:
        """Keep a copy of a file or folder, in place of what the key held."""

    def get(self, key: str, target: Path) -> None:
        """Copy an artifact to ``target``, which is not there yet.

        Raises:
            StorageError: there is no such artifact.
        """

    def list(self, prefix: str) -> list[str]:
        """The keys directly below ``prefix``, sorted; none if there is nothing."""

    def delete(self, key: str) -> None:
        """Forget an artifact; nothing happens if there is none."""


class FolderStore:
    """Artifacts as files and folders below a root. The disk of one machine, or one that several share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, source: Path) -> None:
        """See :class:`ArtifactStore`."""
        target = self._path(key)
        try:
            if source.is_dir():
                with new_folder(target) as temporary:
                    shutil.copytree(source, temporary, dirs_exist_ok=True)
            else:
                write_atomically(target, source.read_bytes())
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error.strerror}; free space or mend the folder"
            ) from error

    def get(self, key: str, target: Path) -> None:
        """See :class:`ArtifactStore`."""
        source = self._path(key)
        try:
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        except FileNotFoundError:
            raise _missing(key) from None
        except OSError as error:
            raise StorageError(f"{source} cannot be read: {error.strerror}") from error

    def list(self, prefix: str) -> list[str]:
        """See :class:`ArtifactStore`. What a killed process left half-written begins with a dot."""
        folder = self._path(prefix)
        if not folder.is_dir():
            return []
        return sorted(f"{prefix}/{path.name}" for path in folder.iterdir() if not path.name.startswith("."))

    def delete(self, key: str) -> None:
        """See :class:`ArtifactStore`."""
        path = self._path(key)
        if path.is_dir():
            # Out of sight first: half a folder must not look like a whole one.
            hidden = path.with_name(f".{path.name}.deleted")
            shutil.rmtree(hidden, ignore_errors=True)
            path.rename(hidden)
            shutil.rmtree(hidden, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)


class MemoryStore:
    """Artifacts in memory, for tests."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, bytes]] = {}

    def put(self, key: str, source: Path) -> None:
        """See :class:`ArtifactStore`."""
        found = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        self._files[check_key(key)] = {
            "" if source.is_file() else path.relative_to(source).as_posix(): path.read_bytes() for path in found
        }

    def get(self, key: str, target: Path) -> None:
        """See :class:`ArtifactStore`."""
        if check_key(key) not in self._files:
            raise _missing(key)
        for name, content in self._files[key].items():
            path = target / name if name else target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def list(self, prefix: str) -> list[str]:
        """See :class:`ArtifactStore`."""
        below = [
            key.removeprefix(f"{prefix}/") for key in self._files if key.startswith(f"{check_key(prefix)}/")
        ]
        return sorted({f"{prefix}/{key.split('/')[0]}" for key in below})

    def delete(self, key: str) -> None:
        """See :class:`ArtifactStore`."""
        self._files.pop(check_key(key), None)


def check_key(key: str) -> str:
    """The key, if it stays below the root of a store.

    Raises:
        StorageError: it does not.
    """
    path = PurePosixPath(key)
    if path.is_absolute() or str(path) != key or any(part.startswith(".") for part in path.parts):
        raise StorageError(f"'{key}' is no key of an artifact")
    return key


def _missing(key: str) -> StorageError:
    return StorageError(f"there is no artifact '{key}'")
