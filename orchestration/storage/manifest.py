"""The list of an artifact's files that tells whether it is whole: written last, checked on the way out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from orchestration.errors import StorageError
from orchestration.storage.errors import DamagedArtifact, missing

MANIFEST = "manifest.json"
BLOCK_BYTES = 1024**2


@dataclass(frozen=True)
class Stamp:
    """What a file must be."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of an artifact by their paths within it."""

    files: Mapping[str, Stamp]

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        return sum(stamp.num_bytes for stamp in self.files.values())

    def dump(self) -> bytes:
        """As JSON; the same files give the same bytes."""
        tree = {name: asdict(stamp) for name, stamp in sorted(self.files.items())}
        return json.dumps({"files": tree}, indent=1).encode()

    @classmethod
    def parse(cls, content: bytes, key: str) -> Manifest:
        """What :meth:`dump` wrote.

        Raises:
            DamagedArtifact: it is something else.
        """
        try:
            tree = json.loads(content)["files"]
            files = {inside(name): Stamp(stamp["num_bytes"], stamp["sha256"]) for name, stamp in tree.items()}
        except (ValueError, KeyError, TypeError, AttributeError, StorageError):
            raise DamagedArtifact(f"artifact '{key}' is damaged: its {MANIFEST} cannot be read") from None
        return cls(files)

    @classmethod
    def of(cls, folder: Path) -> Manifest:
        """Read all files of a folder.

        Raises:
            DamagedArtifact: it has a manifest, as artifacts in a folder do, and is not what that says.
        """
        found = cls({inside(name): stamp_of_file(folder / name) for name in files_of(folder)})
        if (folder / MANIFEST).is_file():
            for name, wanted in cls.parse((folder / MANIFEST).read_bytes(), str(folder)).files.items():
                check_file(str(folder), name, found.files.get(name), wanted)
        return found

    def chosen(self, key: str, only: Iterable[str] | None) -> Mapping[str, Stamp]:
        """The files to fetch: all, or those that are named.

        Raises:
            MissingArtifact: a named one is not of the artifact.
        """
        if only is None:
            return self.files
        for name in only:
            if name not in self.files:
                raise missing(f"{key}/{name}")
        return {name: self.files[name] for name in only}


def check_file(key: str, name: str, found: Stamp | None, wanted: Stamp) -> None:
    """Compare a file with what it must be.

    Raises:
        DamagedArtifact: it is not that; the message says in what way.
    """
    if found == wanted:
        return
    what = "is gone" if found is None else "is not what was put there: its SHA-256 differs"
    if found is not None and found.num_bytes != wanted.num_bytes:
        what = f"has {found.num_bytes} bytes instead of {wanted.num_bytes}"
    raise DamagedArtifact(f"artifact '{key}' is damaged: {name} {what}")


def files_of(folder: Path) -> list[str]:
    """The paths of all files within a folder, sorted, without a manifest that it has.

    Raises:
        StorageError: it is no folder.
    """
    if not folder.is_dir():
        raise StorageError(f"{folder} is no folder; artifacts are folders")
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name != MANIFEST)


def blocks(path: Path) -> Iterator[bytes]:
    """A file's content, piece by piece."""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def stamp_of(content: bytes) -> Stamp:
    """Of a file with this content."""
    return Stamp(len(content), hashlib.sha256(content).hexdigest())


def stamp_of_file(path: Path) -> Stamp:
    """Read a file."""
    digest, num_bytes = hashlib.sha256(), 0
    for block in blocks(path):
        digest.update(block)
        num_bytes += len(block)
    return Stamp(num_bytes, digest.hexdigest())


def copy_file(source: Path, target: Path) -> Stamp:
    """Copy a file and say what was read of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, num_bytes = hashlib.sha256(), 0
    with target.open("wb") as file:
        for block in blocks(source):
            file.write(block)
            digest.update(block)
            num_bytes += len(block)
    return Stamp(num_bytes, digest.hexdigest())


def inside(name: str) -> str:
    """The path of a file, if it stays in its folder.

    Raises:
        StorageError: it does not.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or str(path) != name or ".." in path.parts or path.name in ("", MANIFEST):
        raise StorageError(f"'{name}' is no path of a file in an artifact")
    return name
