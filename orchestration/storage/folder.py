"""Artifacts in a folder: the disk of one machine, or one that several share."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from orchestration.storage.errors import missing, uncopied, unreadable, unwritable
from orchestration.storage.manifest import MANIFEST, Manifest, Stamp, check_file, copy_file, files_of, inside
from orchestration.storage.store import Stored, check_key
from wav2pix.files import new_folder


class FolderStore:
    """Each artifact is the folder of its key, its manifest among its files."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, source: Path) -> None:
        """See :class:`ArtifactStore`."""
        target = self.path(key)
        names = files_of(source)
        try:
            with new_folder(target) as temporary:
                files = {inside(name): copy_file(source / name, temporary / name) for name in names}
                (temporary / MANIFEST).write_bytes(Manifest(files).dump())
        except OSError as error:
            raise unwritable(target, error) from error

    def get(self, key: str, target: Path, only: Collection[str] | None = None) -> None:
        """See :class:`ArtifactStore`."""
        source = self.path(key)
        files = self.manifest(key).chosen(key, only)
        try:
            target.mkdir(parents=True)
            for name, stamp in files.items():
                check_file(key, name, _copied(source / name, target / name), stamp)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise uncopied(source, target, error) from error
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise

    def manifest(self, key: str) -> Manifest:
        """What an artifact must be.

        Raises:
            MissingArtifact: there is none.
            DamagedArtifact: the manifest cannot be read.
        """
        path = self.path(key) / MANIFEST
        try:
            return Manifest.parse(path.read_bytes(), key)
        except (FileNotFoundError, NotADirectoryError):
            raise missing(key) from None
        except OSError as error:
            raise unreadable(path, error) from error

    def list(self, prefix: str) -> list[str]:
        """See :class:`ArtifactStore`. What a killed process left half-written begins with a dot."""
        folder = self.path(prefix)
        return sorted(path.relative_to(self._root).as_posix() for path in self._artifacts(folder))

    def delete(self, key: str) -> None:
        """See :class:`ArtifactStore`."""
        path = self.path(key)
        # Out of sight first: half a folder must not look like a whole one.
        hidden = path.with_name(f".{path.name}.deleted")
        try:
            shutil.rmtree(hidden, ignore_errors=True)
            path.rename(hidden)
        except FileNotFoundError:
            return
        except OSError as error:
            raise unwritable(path, error) from error
        shutil.rmtree(hidden, ignore_errors=True)

    def move(self, key: str, to: str) -> None:
        """See :class:`ArtifactStore`."""
        source, target = self.path(key), self.path(to)
        if not source.is_dir():
            return
        self.delete(to)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        except OSError as error:
            raise unwritable(target, error) from error

    def stored(self, prefix: str) -> Sequence[Stored]:
        """All that takes up space below ``prefix``: artifacts, and what killed processes left of some."""
        folder = self.path(prefix)
        found = [
            Stored(str(path), _num_bytes(path), partial(self.delete, key), key)
            for path in self._artifacts(folder)
            for key in [path.relative_to(self._root).as_posix()]
        ]
        hidden = [path for path in folder.rglob(".*") if path.is_dir()]
        found += [Stored(str(path), _num_bytes(path), partial(_remove, path)) for path in hidden]
        return found

    def path(self, key: str) -> Path:
        """Where an artifact is, if it is there."""
        return self._root / check_key(key)

    def _artifacts(self, folder: Path) -> Iterator[Path]:
        """The folders of all whole artifacts below one."""
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name.startswith("."):
                continue
            if (path / MANIFEST).is_file():
                yield path
            else:
                yield from self._artifacts(path)


def _copied(source: Path, target: Path) -> Stamp | None:
    try:
        return copy_file(source, target)
    except FileNotFoundError:
        return None


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
