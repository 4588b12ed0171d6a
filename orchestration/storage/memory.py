"""Artifacts in memory, for tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from orchestration.storage.errors import missing
from orchestration.storage.manifest import Manifest, check_file, stamp_of
from orchestration.storage.store import Stored, check_key


class MemoryStore:
    """The artifacts are in ``artifacts``, each with its manifest and its files; a test may damage them."""

    def __init__(self) -> None:
        self.artifacts: dict[str, tuple[Manifest, dict[str, bytes]]] = {}

    def put(self, key: str, source: Path) -> None:
        """See :class:`ArtifactStore`."""
        manifest = Manifest.of(source)
        files = {name: (source / name).read_bytes() for name in manifest.files}
        self.artifacts[check_key(key)] = (manifest, files)

    def get(self, key: str, target: Path, only: Collection[str] | None = None) -> None:
        """See :class:`ArtifactStore`."""
        chosen = self.manifest(key).chosen(key, only)
        files = self.artifacts[key][1]
        for name, stamp in chosen.items():
            check_file(key, name, stamp_of(files[name]) if name in files else None, stamp)
        target.mkdir(parents=True)
        for name in chosen:
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])

    def manifest(self, key: str) -> Manifest:
        """What an artifact must be."""
        if check_key(key) not in self.artifacts:
            raise missing(key)
        return self.artifacts[key][0]

    def list(self, prefix: str) -> list[str]:
        """See :class:`ArtifactStore`."""
        return sorted(key for key in self.artifacts if key.startswith(f"{check_key(prefix)}/"))

    def delete(self, key: str) -> None:
        """See :class:`ArtifactStore`."""
        self.artifacts.pop(check_key(key), None)

    def move(self, key: str, to: str) -> None:
        """See :class:`ArtifactStore`."""
        if check_key(key) in self.artifacts:
            self.artifacts[check_key(to)] = self.artifacts.pop(key)

    def stored(self, prefix: str) -> Sequence[Stored]:
        """All artifacts below ``prefix``."""
        return [
            Stored(key, self.artifacts[key][0].num_bytes, partial(self.delete, key), key)
            for key in self.list(prefix)
        ]
