"""The runs of a sweep as its driver keeps them: its own, and how its trials ended, also after a dead driver."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestration import results
from orchestration.errors import StorageError, TrackingError
from orchestration.folders import SCRATCH_PREFIX, Storage, SweepFolder
from orchestration.identity import SweepRecord
from orchestration.pruning import settle_artifacts
from orchestration.records import TrialRecord
from orchestration.report import keep_best_picture, write_table
from orchestration.runs import Outcome, Run, Target, Tracker, tracking_target
from orchestration.snapshot import Snapshot
from orchestration.spec import SweepSpec
from orchestration.storage import open_store
from orchestration.tracking.journal import Journal
from orchestration.tracking.run_log import RunLog
from orchestration.tracking.sender import Sender
from orchestration.tracking.sync import Courier, Synced, sync_sweep
from orchestration.work import Work
from wav2pix.files import write_atomically

# What the driver grants the tracking store at the end; and when it was told to stop, or the store is away.
FLUSH_S = 60.0
HURRIED_FLUSH_S = 15.0
UNSENT = "unsent"


def open_tracker(target: Target) -> Tracker:
    """The runs of a sweep in the store that people use."""
    from orchestration.tracking.mlflow_store import MlflowTracker  # noqa: PLC0415 - imports mlflow

    return MlflowTracker(target)


class Books:
    """Kept by the driver of a sweep: nothing here waits for the tracking store, except for :meth:`close`.

    Args:
        target: where the runs are.
        work: what the trials share.
        folder: of the sweep.
        pool: opens the store, which takes seconds.
    """

    def __init__(self, target: Target, work: Work, folder: SweepFolder, pool: Executor) -> None:
        self._work = work
        self._folder = folder
        self._sweep_id = target.sweep_id
        self._artifacts = None if target.offline else work.spec.artifacts
        self._store = open_store(folder, self._artifacts, target.sweep_id)
        journal = Journal(folder.journal)
        self._opening = None if target.offline else pool.submit(self._open, target)
        self._courier = Courier(folder, self._opening) if self._opening else None
        self._sender = Sender(journal, self._open_run) if self._opening else None
        self._run = RunLog(journal, self._sender, counter="trials_over")
        self._describe()

    def check(self) -> None:
        """Called now and then.

        Raises:
            TrackingError: a new sweep cannot reach its tracking store.
            StorageError: nor the bucket for its checkpoints.
        """
        if self._opening and self._opening.done():
            self._opening.result()

    def progress(self, records: Sequence[TrialRecord]) -> None:
        """Log how far the sweep is, by the number of trials that are over."""
        over = sum(record.state != "running" for record in records)
        self._run.log(over, figures(records, self._work.spec))

    def settle(self, number: int, outcome: Outcome, reason: str) -> None:
        """Say how a trial ended."""
        if self._courier:
            self._courier.settle(number, outcome, reason)

    def close(self, snapshot: Snapshot, plots: Sequence[Path]) -> tuple[str, ...]:
        """Say what came of the sweep so far; what could not be told the store, for a person to read."""
        if self._opening and self._opening.exception():
            return ()
        problems = settle_artifacts(
            self._folder, self._artifacts, self._sweep_id, self._work.spec.goals, is_over=not snapshot.num_left
        )
        self._summarise(snapshot)
        for plot in plots:
            self._run.attach(plot, "plots")
        return (*problems, *self._close_runs(snapshot))

    def _close_runs(self, snapshot: Snapshot) -> list[str]:
        if not (self._opening and self._courier and self._sender):
            return []
        is_hurried = snapshot.num_left or self._sender.away or self._courier.away
        end = time.monotonic() + (HURRIED_FLUSH_S if is_hurried else FLUSH_S)
        left = self._courier.close(end - time.monotonic())
        is_sent = self._run.close(max(1.0, end - time.monotonic()))
        away = self._sender.away or self._courier.away
        if is_sent:
            try:
                self._opening.result().close(None, outcome_of_sweep(snapshot))
            except TrackingError as error:
                is_sent, away = False, str(error)
        problems = [*self._courier.problems, *self._run.problems]
        if left or not is_sent:
            note_unsent(self._folder)
            problems.append(_unsent(self._folder, away or "the tracking store is slow"))
        return problems

    def _open(self, target: Target) -> Tracker:
        """A new sweep needs its stores: a wrong address must not be found out at the end."""
        tracker = open_tracker(target)
        record = SweepRecord.load(self._folder)
        if not record.tracked:
            self._store.list("trials")
            tracker.open(None)
            replace(record, tracked=True).save(self._folder)
        return tracker

    def _open_run(self, run_id: str | None) -> Run:
        assert self._opening
        return self._opening.result().open(None, run_id)

    def _describe(self) -> None:
        spec = self._work.spec
        goals = ", ".join(f"{goal.direction} {goal.metric}" for goal in spec.goals)
        searched = ", ".join(spec.search)
        note = f"{spec.trials} trials of preset {spec.preset} on {spec.data}: {goals} over {searched}."
        params = {
            "preset": spec.preset,
            "sampler": spec.sampler.type,
            "scheduler": spec.scheduler.type,
            "objective": goals,
            "epochs": spec.epochs,
            "seed": spec.seed,
        } | {f"search.{name}": parameter.model_dump_json() for name, parameter in spec.search.items()}
        tags = {"mlflow.note.content": note, "wav2pix.data_hash": self._work.data_hash} | self._work.code.tags
        self._run.describe(params, tags)
        self._run.attach_text(self._folder.record.read_text(), self._folder.record.name)
        if self._work.code.diff:
            self._run.attach_text(self._work.code.diff, "code.diff")

    def _summarise(self, snapshot: Snapshot) -> None:
        """The best trial, the faces that it draws, a table of all, what the jobs held."""
        spec, folder, records = self._work.spec, self._folder, snapshot.records
        best = results.best(records, spec.goals)
        if best:
            self._run.describe({}, {"wav2pix.best_trial": f"{best[0].number:04d}"})
            with suppress(StorageError):
                # The bucket may be away; the picture is in the run of its trial.
                if keep_best_picture(self._store, best[0], folder):
                    self._run.attach(folder.best_picture)
        self._run.attach(write_table(folder, records, spec))
        self._run.log_more(figures(records, spec) | self._jobs(records, spec))

    def _jobs(self, records: list[TrialRecord], spec: SweepSpec) -> dict[str, float]:
        """What the jobs of a sweep on a cluster held so far; a table of them goes to the run."""
        if not self._folder.cluster.is_dir():
            return {}
        from orchestration.jobs_view import view_jobs  # noqa: PLC0415 - imports submitit

        view = view_jobs(self._folder, records, spec.resources)
        if view is None:
            return {}
        self._folder.jobs_table.write_text(json.dumps(view.dump(), indent=1))
        self._run.attach(self._folder.jobs_table)
        idle = max(0.0, view.gpu_hours - view.busy_hours)
        return {"gpu_hours_allocated": view.gpu_hours, "gpu_hours_idle": idle} if view.gpu_hours else {}


def figures(records: Sequence[TrialRecord], spec: SweepSpec) -> dict[str, float]:
    """How a sweep stands: trials by how they ended, the best objective so far, GPU-hours."""
    counts = Counter(record.state for record in records)
    metrics = {f"trials_{state}": float(counts[state]) for state in ("complete", "pruned", "failed")}
    if spec.resources.gpus:
        metrics["gpu_hours"] = results.gpu_seconds(records, spec.resources) / 3600
    best = results.best(records, spec.goals)
    if best:
        metrics |= results.summary(best[0], spec.goals)
    return metrics


def sync(folder: SweepFolder, record: SweepRecord, snapshot: Snapshot) -> Synced:
    """Bring the tracking store up to date with a sweep that nobody runs. Holds the lock.

    Raises:
        TrackingError: the store is away.
    """
    storage = Storage(folder.root.parent)
    tracker = open_tracker(tracking_target(record.tracking_uri, storage, folder.name, record.sweep_id))
    done = sync_sweep(folder, tracker, snapshot.records, outcome_of_sweep(snapshot))
    spec, is_over = record.spec, not (snapshot.num_left or done.busy)
    done.problems += settle_artifacts(folder, spec.artifacts, record.sweep_id, spec.goals, is_over=is_over)
    if not record.tracked:
        replace(record, tracked=True).save(folder)
    if not done.busy:
        folder.open_runs.unlink(missing_ok=True)
    return done


def outcome_of_sweep(snapshot: Snapshot) -> Outcome:
    """How a sweep stands when nobody works on it."""
    if snapshot.num_left:
        return "interrupted"
    return "failed" if all(record.state == "failed" for record in snapshot.records) else "complete"


@contextmanager
def open_runs(folder: SweepFolder, scratch: Path) -> Iterator[None]:
    """As long as its file is there, runs may be open and Ray's files lie about."""
    mark = {"pid": os.getpid(), "host": socket.gethostname(), "scratch": str(scratch)}
    write_atomically(folder.open_runs, json.dumps(mark).encode())
    try:
        yield
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not (_mark(folder) or {}).get(UNSENT):
        folder.open_runs.unlink()


def note_unsent(folder: SweepFolder) -> None:
    """The tracking store does not know all: whoever looks next tries again."""
    write_atomically(folder.open_runs, json.dumps((_mark(folder) or {}) | {UNSENT: True}).encode())


def _unsent(folder: SweepFolder, away: str) -> str:
    return (
        f"{away}\nwhat is not there yet is kept in {folder.root}; "
        f"send it with: wav2pix sweep sync {folder.name} --storage {folder.root.parent}"
    )


def died_here(folder: SweepFolder) -> bool:
    """Whether a driver left its runs open that, if it is dead, died on this host.

    Of one on another host only the next driver may judge: it holds the lock.
    """
    mark = _mark(folder)
    return mark is not None and mark["host"] == socket.gethostname()


def clean_up(folder: SweepFolder, record: SweepRecord, snapshot: Snapshot) -> None:
    """After a driver that died, or that could not send all: send it, close runs as the study says, remove Ray's
    files. Holds the lock.

    Raises:
        TrackingError: the store is away; the rest is done.
    """
    mark = _mark(folder)
    if mark is None:
        return
    scratch = Path(mark["scratch"])
    if scratch.name.startswith(SCRATCH_PREFIX) and mark["host"] == socket.gethostname():
        shutil.rmtree(scratch, ignore_errors=True)
    snapshot.save(folder.snapshot)
    if record.tracked and not record.spec.tracking.offline:
        sync(folder, record, snapshot)
    else:
        folder.open_runs.unlink()


def _mark(folder: SweepFolder) -> dict[str, Any] | None:
    try:
        mark: dict[str, Any] = json.loads(folder.open_runs.read_text())
    except FileNotFoundError:
        return None
    return mark
