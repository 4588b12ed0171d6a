"""The store of a sweep: its folder, or its folder and a bucket."""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from orchestration.errors import StorageError
from orchestration.folders import SweepFolder
from orchestration.storage.errors import DamagedArtifact, MissingArtifact
from orchestration.storage.folder import FolderStore
from orchestration.storage.settings import Artifacts
from orchestration.storage.staged import JoinedStore, StagedStore
from orchestration.storage.store import FullStore

ASKED_AT_ONCE = 8


@dataclass(frozen=True)
class Pushed:
    """What :func:`push` did.

    Attributes:
        sent: so many artifacts, which were not there before.
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
    try:
        there = _already_there(local, remote, prefix, keys)
    except StorageError as error:
        return Pushed(0, tuple(keys), (str(error),))
    sent, waiting, problems = 0, [], []
    for key in keys:
        try:
            if key not in there:
                remote.put(key, local.path(key))
                sent += 1
        except StorageError as error:
            waiting.append(key)
            problems.append(str(error))
            if not isinstance(error, DamagedArtifact):
                # The others would fare alike, each after its time-outs.
                waiting += [other for other in keys[keys.index(key) + 1 :] if other not in there]
                break
        else:
            if key not in newest:
                local.delete(key)
    return Pushed(sent, tuple(waiting), tuple(dict.fromkeys(problems)))


def _already_there(local: FolderStore, remote: FullStore, prefix: str, keys: Collection[str]) -> set[str]:
    """Those of the keys that the remote store has as they are here, without reading them whole."""

    def is_there(key: str) -> bool:
        try:
            return remote.manifest(key) == local.manifest(key)
        except (MissingArtifact, DamagedArtifact):
            return False

    known = sorted(set(keys) & set(remote.list(prefix))) if keys else []
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return {key for key, there in zip(known, pool.map(is_there, known), strict=True) if there}


def _remote(folder: SweepFolder, artifacts: Artifacts, sweep_id: str) -> FullStore:
    from orchestration.storage.s3 import S3Store  # noqa: PLC0415 - boto3 takes a while to import

    return S3Store(artifacts, f"{folder.name}-{sweep_id}")
