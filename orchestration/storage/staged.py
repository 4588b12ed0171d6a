"""Artifacts that leave for a remote store while training goes on: a folder first, then another thread."""

from __future__ import annotations

import builtins
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from orchestration.errors import StorageError
from orchestration.storage.errors import DamagedArtifact, MissingArtifact, StoreAway
from orchestration.storage.folder import FolderStore
from orchestration.storage.manifest import Manifest
from orchestration.storage.store import FullStore, Stored, check_key

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


class JoinedStore:
    """What waits in a folder and what is in the remote store, as one."""

    def __init__(self, local: FolderStore, remote: FullStore) -> None:
        self._local = local
        self._remote = remote

    def put(self, key: str, source: Path) -> None:
        """See :class:`ArtifactStore`. It stays in the folder until :func:`push` sends it."""
        self._local.put(key, source)

    def get(self, key: str, target: Path, only: Collection[str] | None = None) -> None:
        """See :class:`ArtifactStore`. What the folder has not, or not whole, comes from the remote store."""
        try:
            self._local.get(key, target, only)
        except MissingArtifact:
            self._remote.get(key, target, only)
        except DamagedArtifact as damage:
            try:
                self._remote.get(key, target, only)
            except MissingArtifact:
                raise damage from None

    def list(self, prefix: str) -> builtins.list[str]:
        """See :class:`ArtifactStore`."""
        return sorted({*self._local.list(prefix), *self._remote.list(prefix)})

    def delete(self, key: str) -> None:
        """See :class:`ArtifactStore`."""
        self._local.delete(key)
        self._remote.delete(key)

    def move(self, key: str, to: str) -> None:
        """See :class:`ArtifactStore`."""
        self._local.move(key, to)
        self._remote.move(key, to)

    def manifest(self, key: str) -> Manifest:
        """What an artifact must be."""
        try:
            return self._local.manifest(key)
        except (MissingArtifact, DamagedArtifact):
            return self._remote.manifest(key)

    def stored(self, prefix: str) -> Sequence[Stored]:
        """All that takes up space, in either."""
        return [*self._local.stored(prefix), *self._remote.stored(prefix)]


class StagedStore(JoinedStore):
    """What is put is in the folder at once and in the remote store later, the newest first.

    The folder keeps an artifact until the remote store has all of it, and the newest of its siblings for good:
    as long as that one is whole, nobody who asks for it waits for the remote store.

    Args:
        local: where artifacts wait; must outlive this process, so that :func:`push` finds what it left.
        remote: where they go.
        log: is told of what the remote store refuses, once for each thing that it says.
    """

    def __init__(self, local: FolderStore, remote: FullStore, log: logging.Logger | None = None) -> None:
        super().__init__(local, remote)
        self._log = log
        self._changed = threading.Condition()
        # What waits, the first first, with a number that tells one `put` of a key from the next.
        self._uploads: dict[str, int] = {}
        self._deletes: dict[str, None] = {}
        self._to_list: dict[str, None] = {}
        self._num_puts = 0
        # What the remote store has whole, and what it may have a part of; below these prefixes that is all.
        self._known: set[str] = set()
        self._begun: set[str] = set()
        self._listed: set[str] = set()
        self._problem = ""
        self._closed = self._hurry = self._busy = False
        self._thread: threading.Thread | None = None

    def put(self, key: str, source: Path) -> None:
        """See :class:`ArtifactStore`. Waits for the folder only."""
        with self._changed:
            self._known.discard(key)
        self._local.put(key, source)
        with self._changed:
            self._deletes.pop(key, None)
            self._enqueue(key)

    def list(self, prefix: str) -> builtins.list[str]:
        """See :class:`ArtifactStore`. Waits for the remote store only if the folder has nothing."""
        here = self._local.list(check_key(prefix))
        if not here and prefix not in self._listed:
            try:
                self._learn(prefix)
            except StoreAway:
                # Where nothing was ever put it need not be known whether there is more.
                if self._local.path(prefix).is_dir():
                    raise
        with self._changed:
            if prefix not in self._listed:
                self._to_list[prefix] = None
                self._wake()
            there = [key for key in self._known if key.startswith(f"{prefix}/") and key not in self._deletes]
        return sorted({*here, *there})

    def delete(self, key: str) -> None:
        """See :class:`ArtifactStore`. What was not sent yet never is."""
        with self._changed:
            self._uploads.pop(key, None)
            if key in self._known | self._begun or key.rpartition("/")[0] not in self._listed:
                self._deletes[key] = None
                self._wake()
        self._local.delete(key)

    def move(self, key: str, to: str) -> None:
        """See :class:`ArtifactStore`. Waits for the remote store, which may have a damaged one too."""
        with self._changed:
            self._uploads.pop(key, None)
        super().move(key, to)
        with self._changed:
            self._known.discard(key)

    @property
    def waiting(self) -> builtins.list[str]:
        """What the remote store has not got yet."""
        with self._changed:
            return sorted(self._uploads)

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps artifacts from the remote store now."""
        with self._changed:
            return (self._problem,) if self._problem else ()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is sent and deleted there, at most so long; whether it is."""
        with self._changed:
            self._hurry = True
            self._wake()
            try:
                self._changed.wait_for(lambda: self._closed or self._is_idle(), timeout_s)
                return self._is_idle()
            finally:
                self._hurry = False

    def close(self, timeout_s: float) -> bool:
        """Flush, then send nothing more; whether all was sent. The rest stays in the folder."""
        done = self.flush(timeout_s)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return done

    def _is_idle(self) -> bool:
        return not (self._uploads or self._deletes or self._busy)

    def _enqueue(self, key: str) -> None:
        self._num_puts += 1
        self._uploads.pop(key, None)
        self._uploads[key] = self._num_puts
        self._wake()

    def _wake(self) -> None:
        """Let the thread look; holds the lock."""
        if self._thread is None and not self._closed:
            # A daemon: a process that ends does not wait for a server that is away.
            self._thread = threading.Thread(target=self._work, name="artifacts", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        pause_s = FIRST_PAUSE_S
        while (job := self._next()) is not None:
            problem = self._attempt(job)
            with self._changed:
                self._busy = False
                if problem and problem != self._problem and self._log is not None:
                    self._log.warning("%s. What is kept waits in the sweep's folder", problem)
                self._problem = problem
                self._changed.notify_all()
                if not problem:
                    pause_s = FIRST_PAUSE_S
                    continue
                self._pause(pause_s * random.uniform(0.5, 1.5))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _next(self) -> Callable[[], None] | None:
        """What to do now, waiting for it; None once this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._uploads or self._to_list or self._deletes)
            if self._closed:
                return None
            self._busy = True
            if self._uploads:
                key = next(reversed(self._uploads))
                return lambda: self._send(key)
            if self._to_list:
                prefix = next(iter(self._to_list))
                return lambda: self._learn(prefix)
            # Only when all is sent: what replaces the deleted must be there first.
            doomed = next(iter(self._deletes))
            return lambda: self._forget(doomed)

    def _attempt(self, job: Callable[[], None]) -> str:
        try:
            job()
        except StorageError as error:
            return str(error)
        except Exception as error:
            # The thread goes on: whatever it was, what waits must not wait for ever.
            return f"an artifact cannot be sent: {type(error).__name__}: {error}"
        return ""

    def _pause(self, seconds: float) -> None:
        """After a failure; holds the lock. Somebody who waits for all to be sent makes it short."""
        until = time.monotonic() + seconds
        while not self._closed and (left := until - time.monotonic()) > 0:
            if self._hurry:
                self._changed.wait(min(left, FIRST_PAUSE_S))
                return
            self._changed.wait(left)

    def _send(self, key: str) -> None:
        with self._changed:
            number = self._uploads.get(key)
            self._begun.add(key)
        try:
            self._remote.put(key, self._local.path(key))
        except StorageError as error:
            hopeless = isinstance(error, DamagedArtifact) or not self._local.path(key).is_dir()
            with self._changed:
                if self._uploads.get(key) != number:
                    return  # It was deleted or put again meanwhile, and what was sent of it will be deleted.
                if hopeless:
                    del self._uploads[key]
            raise
        with self._changed:
            if self._uploads.get(key) == number:
                del self._uploads[key]
                self._known.add(key)
        self._tidy(key.rpartition("/")[0])

    def _tidy(self, parent: str) -> None:
        """Free the folder of what the remote store has, save the newest."""
        for key in self._local.list(parent)[:-1]:
            with self._changed:
                if key in self._known:
                    self._local.delete(key)

    def _learn(self, prefix: str) -> None:
        """Ask what the remote store has; what an earlier process left unsent is sent now."""
        found = set(self._remote.list(prefix))
        here = self._local.list(prefix)
        with self._changed:
            self._listed.add(prefix)
            self._to_list.pop(prefix, None)
            self._known |= found - self._uploads.keys()
            waiting = dict(self._uploads)
            for key in [key for key in here if key not in found and key not in waiting]:
                self._enqueue(key)
            for key in waiting:
                self._enqueue(key)

    def _forget(self, key: str) -> None:
        self._remote.delete(key)
        with self._changed:
            if key in self._deletes:
                del self._deletes[key]
                self._known.discard(key)
                self._begun.discard(key)
