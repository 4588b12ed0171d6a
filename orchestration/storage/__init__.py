"""Where artifacts are kept: checkpoints, pictures, anything that a trial leaves behind."""

from orchestration.storage.errors import DamagedArtifact, DiskFull, MissingArtifact, StoreAway
from orchestration.storage.folder import FolderStore
from orchestration.storage.memory import MemoryStore
from orchestration.storage.opening import Pushed, open_store, push
from orchestration.storage.settings import Artifacts, artifacts_of
from orchestration.storage.staged import JoinedStore, StagedStore
from orchestration.storage.store import ArtifactStore

__all__ = [
    "ArtifactStore",
    "Artifacts",
    "DamagedArtifact",
    "DiskFull",
    "FolderStore",
    "JoinedStore",
    "MemoryStore",
    "MissingArtifact",
    "Pushed",
    "StagedStore",
    "StoreAway",
    "artifacts_of",
    "open_store",
    "push",
]
