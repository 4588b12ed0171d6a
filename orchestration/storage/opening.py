"""The store of a sweep: its folder, or its folder and a bucket."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from orchestration.errors import StorageError
from orchestration.folders import SweepFolder
from orchestration.storage.errors import DamagedArtifact
from orchestration.storage.folder import FolderStore
from orchestration.storage.settings import Artifacts
from orchestration.storage.staged import JoinedStore, StagedStore
from orchestration.storage.store import FullStore


@dataclass(frozen=True)
class Pushed:
    """What :func:`push` did.

    Attributes:
        sent: artifacts that are in the remote store now; most of them may have been there before.
        waiting: those that are not; they stay in the sweep's folder.
        problems: why.
    """

    sent: int = 0
    waiting: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def open_store(
    folder: SweepFolder,
    artifacts: Artifacts | None,
    sweep_id: str,
    background: bool = False,
    log: logging.Logger | None = None,
) -> FolderStore | JoinedStore:
    """The store of a sweep.

    Args:
        artifacts: as :func:`artifacts_of` gives it; without a URI all stays in the folder.
        sweep_id: tells the sweep from others of its name that use the bucket, too.
        background: another thread sends what is put: a :class:`StagedStore`.
        log: is told of what the bucket refuses.
    """
    local = FolderStore(folder.root)
    if artifacts is None or artifacts.uri is None:
        return local
    remote = _remote(folder, artifacts, sweep_id)
    return StagedStore(local, remote, log) if background else JoinedStore(local, remote)


def push(folder: SweepFolder, artifacts: Artifacts | None, sweep_id: str, prefix: str = "trials") -> Pushed:
    """Send what trials left unsent in the sweep's folder; a second time changes nothing.

    The newest artifact of each trial stays in the folder as well.
    """
    if artifacts is None or artifacts.uri is None:
        return Pushed()
    local, remote = FolderStore(folder.root), _remote(folder, artifacts, sweep_id)
    keys = local.list(prefix)
    newest = set({key.rpartition("/")[0]: key for key in keys}.values())
    sent, waiting, problems = 0, [], []
    for key in keys:
        try:
            remote.put(key, local.path(key))
        except StorageError as error:
            waiting.append(key)
            problems.append(str(error))
            if not isinstance(error, DamagedArtifact):
                # The others would fare alike, each after its time-outs.
                waiting += keys[keys.index(key) + 1 :]
                break
        else:
            sent += 1
            if key not in newest:
                local.delete(key)
    return Pushed(sent, tuple(waiting), tuple(dict.fromkeys(problems)))


def _remote(folder: SweepFolder, artifacts: Artifacts, sweep_id: str) -> FullStore:
    from orchestration.storage.s3 import S3Store  # noqa: PLC0415 - boto3 takes a while to import

    return S3Store(artifacts, f"{folder.name}-{sweep_id}")
