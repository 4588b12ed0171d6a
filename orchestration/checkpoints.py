"""The checkpoints of one trial: the newest whole one, those worth keeping, and patience with the store."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from orchestration.folders import checkpoint_epoch, checkpoint_key, trial_key
from orchestration.spec import Objective
from orchestration.storage import ArtifactStore, DamagedArtifact, DiskFull, StoreAway
from orchestration.trial_log import SILENT

T = TypeVar("T")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 20.0
SAY_EVERY_S = 60.0
# A day: who looks after a full disk or a server has a night's sleep before trials fail of it.
PATIENCE_S = 86400.0


class Checkpoints:
    """What a trial keeps of its epochs.

    Args:
        store: where.
        number: of the trial.
        keep_newest: so many of the newest epochs stay.
        keep_best: so many of the best ones, too.
        log: is told of damage and of waiting.
        patience_s: how long a full disk or an absent store is waited for.
    """

    def __init__(
        self,
        store: ArtifactStore,
        number: int,
        keep_newest: int = 1,
        keep_best: int = 1,
        log: logging.Logger = SILENT,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._store = store
        self._number = number
        self._newest, self._best = keep_newest, keep_best
        self._log = log
        self._patience_s = patience_s

    def newest(self, target: Path) -> Path | None:
        """Fetch the newest whole checkpoint to the folder ``target``; None if there is none.

        Damaged ones are set aside and never offered again.

        Raises:
            StoreAway: the store was away for too long.
        """
        while keys := self._patiently(lambda: self._store.list(_folder(self._number))):
            try:
                self._patiently(lambda key=keys[-1]: self._store.get(key, target))  # type: ignore[misc]
            except DamagedArtifact as error:
                self._set_aside(keys[-1], error, " and the one before is used")
            else:
                return target
        return None

    def keep(self, epoch: int, folder: Path, ranking: Sequence[int]) -> None:
        """Keep a folder as the checkpoint of an epoch; then forget those that are neither new nor good.

        Args:
            ranking: epochs, the best first, as :func:`ranked` gives them.

        Raises:
            DiskFull: there was no room for too long.
        """
        key = checkpoint_key(self._number, epoch)
        self._patiently(lambda: self._store.put(key, folder))
        epochs = [checkpoint_epoch(found) for found in self._store.list(_folder(self._number))]
        # What came after this epoch was trained by an attempt that this one replaces.
        kept = retained([found for found in epochs if found <= epoch], ranking, self._newest, self._best)
        for found in epochs:
            if found not in kept:
                self._store.delete(checkpoint_key(self._number, found))

    def fetch(self, epoch: int, target: Path) -> None:
        """Copy the checkpoint of an epoch to the folder ``target``.

        Raises:
            MissingArtifact: there is none.
            DamagedArtifact: it is damaged; it is set aside.
        """
        key = checkpoint_key(self._number, epoch)
        try:
            self._patiently(lambda: self._store.get(key, target))
        except DamagedArtifact as error:
            self._set_aside(key, error)
            raise

    def _set_aside(self, key: str, error: DamagedArtifact, then: str = "") -> None:
        aside = f"{trial_key(self._number)}/damaged/{key.rsplit('/', 1)[-1]}"
        self._log.warning("%s; it is set aside as '%s'%s", error, aside, then)
        self._patiently(lambda: self._store.move(key, aside))

    def _patiently(self, do: Callable[[], T]) -> T:
        return patiently(do, self._log, self._patience_s)


def ranked(values: Mapping[int, Sequence[float]], goals: Sequence[Objective]) -> list[int]:
    """Epochs by their objectives, the best first; of equals the earliest. Several objectives: the newest first.

    Args:
        values: the objectives by epoch; epochs with one that is no number are left out.
    """
    usable = [
        epoch
        for epoch, found in values.items()
        if len(found) == len(goals) and all(math.isfinite(value) for value in found)
    ]
    if len(goals) > 1:
        return sorted(usable, reverse=True)
    sign = -1.0 if goals[0].direction == "maximize" else 1.0
    return sorted(usable, key=lambda epoch: (sign * values[epoch][0], epoch))


def retained(epochs: Collection[int], ranking: Sequence[int], newest: int, best: int) -> set[int]:
    """Those of the epochs that stay: the newest and the best; at least one, if there are any."""
    there = [epoch for epoch in ranking if epoch in set(epochs)]
    return set(sorted(epochs)[-max(1, newest) :]) | set(there[:best])


def patiently(do: Callable[[], T], log: logging.Logger = SILENT, patience_s: float = PATIENCE_S) -> T:
    """Do something again and again while a disk is full or a store away; says so once a minute.

    Raises:
        DiskFull: it stayed full.
        StoreAway: it stayed away.
    """
    started, said, pause_s = time.monotonic(), -math.inf, FIRST_PAUSE_S
    while True:
        try:
            return do()
        except (DiskFull, StoreAway) as error:
            now = time.monotonic()
            if now - started >= patience_s:
                raise
            if now - said >= SAY_EVERY_S:
                log.warning("%s. Waits, and tries again", error)
                said = now
        time.sleep(min(pause_s * random.uniform(0.7, 1.3), max(0.0, started + patience_s - now)))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _folder(number: int) -> str:
    return f"{trial_key(number)}/checkpoints"
