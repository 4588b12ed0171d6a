"""Making room: what a sweep's store holds that retention does not name."""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.checkpoints import ranked, retained
from orchestration.errors import StorageError, SweepError
from orchestration.folders import SweepFolder, checkpoint_epoch
from orchestration.lock import is_held
from orchestration.spec import Objective
from orchestration.storage import Artifacts, open_store, push
from orchestration.storage.store import FullStore, Stored

TRIALS = "trials"


@dataclass(frozen=True)
class Doomed:
    """What is to be deleted, and why."""

    stored: Stored
    why: str


@dataclass(frozen=True)
class Pruning:
    """What pruning a sweep deletes.

    Attributes:
        kept_bytes: of what stays.
        warnings: trials of which nothing is deleted, though there is something.
    """

    doomed: tuple[Doomed, ...]
    kept_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def num_bytes(self) -> int:
        """That it frees."""
        return sum(each.stored.num_bytes for each in self.doomed)

    def rows(self) -> list[dict[str, Any]]:
        """For a table or JSON."""
        return [
            {"what": each.stored.where, "bytes": each.stored.num_bytes, "why": each.why} for each in self.doomed
        ]

    def do(self) -> None:
        """Delete it."""
        for each in self.doomed:
            each.stored.remove()


def plan_pruning(store: FullStore, goals: Sequence[Objective], artifacts: Artifacts) -> Pruning:
    """What can go: superseded and damaged checkpoints, and what killed processes left. The caller sees that no
    trial runs: what one is about to finish looks like a left-over.
    """
    found = store.stored(TRIALS)
    doomed = [Doomed(each, "unfinished") for each in found if not each.key]
    doomed += [Doomed(each, "damaged") for each in found if "/damaged/" in each.key]
    by_trial: dict[str, dict[int, list[Stored]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        folder, _, name = each.key.rpartition("/")
        if folder.endswith("/checkpoints"):
            by_trial[folder][checkpoint_epoch(name)].append(each)
    warnings = []
    for folder, epochs in sorted(by_trial.items()):
        try:
            kept = _kept(store, folder, list(epochs), goals, artifacts)
        except StorageError as error:
            warnings.append(f"nothing of {folder} is deleted: {error}")
            continue
        doomed += [
            Doomed(each, "superseded")
            for epoch, stored in sorted(epochs.items())
            if epoch not in kept
            for each in stored
        ]
    freed = sum(each.stored.num_bytes for each in doomed)
    return Pruning(tuple(doomed), sum(each.num_bytes for each in found) - freed, tuple(warnings))


def check_idle(folder: SweepFolder) -> None:
    """See that no trial works in the folder; the caller holds the sweep's lock.

    Raises:
        SweepError: one does, though its driver is gone.
    """
    for lock in sorted((folder.root / TRIALS).glob("*/.lock")):
        if is_held(lock):
            raise SweepError(f"trial {lock.parent.name} of '{folder.name}' still runs; wait until it ends")


def _kept(
    store: FullStore, folder: str, epochs: list[int], goals: Sequence[Objective], artifacts: Artifacts
) -> set[int]:
    """Those of a trial's epochs that stay.

    Raises:
        StorageError: the newest one, which is to replace others, is damaged or out of reach.
    """
    if len(epochs) == 1:
        return set(epochs)
    newest = f"{folder}/epoch-{max(epochs):04d}"
    with tempfile.TemporaryDirectory(prefix="wav2pix-") as name:
        store.get(newest, Path(name) / "facts", only=("trial.json",))
        history = json.loads((Path(name) / "facts" / "trial.json").read_text())["history"]
        values = {
            entry["epoch"]: [entry["metrics"].get(goal.metric, math.nan) for goal in goals] for entry in history
        }
        kept = retained(epochs, ranked(values, goals), artifacts.keep_newest, artifacts.keep_best)
        if kept != set(epochs):
            # Never the last good one: only what was read in full may replace others.
            store.get(newest, Path(name) / "all")
    return kept


def settle_artifacts(
    folder: SweepFolder,
    artifacts: Artifacts | None,
    sweep_id: str,
    goals: Sequence[Objective],
    *,
    is_over: bool,
) -> tuple[str, ...]:
    """Bring the bucket, if there is one, up to date: what trials left unsent, and what they could not delete.

    Returns:
        What could not be done, for a person to read.
    """
    if artifacts is None or artifacts.uri is None:
        return ()
    pushed = push(folder, artifacts, sweep_id)
    if pushed.waiting:
        again = f"wav2pix sweep sync {folder.name} --storage {folder.root.parent}"
        waiting = f"{len(pushed.waiting)} checkpoints wait in {folder.root}; send them with: {again}"
        return (*pushed.problems, waiting)
    if is_over:
        try:
            plan_pruning(open_store(folder, artifacts, sweep_id), goals, artifacts).do()
        except StorageError as error:
            return (*pushed.problems, str(error))
    return pushed.problems
