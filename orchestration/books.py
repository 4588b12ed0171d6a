"""The sweep's own run in the tracking store: opened, brought up to date, closed, also after a dead driver."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestration import results
from orchestration.folders import SCRATCH_PREFIX, Storage, SweepFolder
from orchestration.identity import SweepRecord
from orchestration.ledger import reconcile
from orchestration.records import TrialRecord
from orchestration.report import keep_best_picture, write_table
from orchestration.runs import Outcome, Run, Target, Tracker, tracking_target
from orchestration.snapshot import Snapshot
from orchestration.spec import SweepSpec
from orchestration.storage import FolderStore
from orchestration.work import Work


def open_sweep(target: Target, work: Work, folder: SweepFolder, scratch: Path) -> Tracker:
    """The run of the sweep itself, which also makes the database before any trial wants it."""
    from orchestration.tracking.mlflow_store import MlflowTracker  # noqa: PLC0415 - imports mlflow

    spec = work.spec
    tracker = MlflowTracker(target)
    run = tracker.open(None)
    goals = ", ".join(f"{goal.direction} {goal.metric}" for goal in spec.goals)
    note = (
        f"{spec.trials} trials of preset {spec.preset} on {spec.data}: {goals} over {', '.join(spec.search)}."
    )
    params = {
        "preset": spec.preset,
        "sampler": spec.sampler.type,
        "scheduler": spec.scheduler.type,
        "objective": goals,
        "epochs": spec.epochs,
        "seed": spec.seed,
    }
    tags = {"mlflow.note.content": note, "wav2pix.data_hash": work.data_hash} | work.code.tags
    run.describe(params, tags)
    replace(SweepRecord.load(folder), tracked=True).save(folder)
    run.attach(folder.record)
    if work.code.diff:
        path = scratch / "code.diff"
        path.write_text(work.code.diff)
        run.attach(path)
    return tracker


def close_sweep(tracker: Tracker, spec: SweepSpec, folder: SweepFolder, snapshot: Snapshot) -> None:
    """What came of the sweep so far: its best trial, what it took, and how it ended."""
    run = tracker.open(None)
    records = snapshot.records
    finished = sum(record.state != "running" for record in records)
    best = results.best(records, spec.goals)
    metrics = {}
    if spec.resources.gpus:
        metrics["gpu_hours"] = results.gpu_seconds(records, spec.resources) / 3600
    if best:
        metrics |= results.summary(best[0], spec.goals)
        run.describe({}, {"wav2pix.best_trial": f"{best[0].number:04d}"})
        if keep_best_picture(FolderStore(folder.root), best[0], folder):
            run.attach(folder.best_picture)
    metrics |= _jobs(run, folder, records, spec)
    if metrics:
        run.log(finished, metrics)
    run.attach(write_table(folder, records, spec))
    tracker.close(None, outcome_of_sweep(snapshot))


def _jobs(run: Run, folder: SweepFolder, records: list[TrialRecord], spec: SweepSpec) -> dict[str, float]:
    """What the jobs of a sweep on a cluster held so far; a table of them goes to the run."""
    if not folder.cluster.is_dir():
        return {}
    from orchestration.jobs_view import view_jobs  # noqa: PLC0415 - imports submitit

    view = view_jobs(folder, records, spec.resources)
    if view is None:
        return {}
    folder.jobs_table.write_text(json.dumps(view.dump(), indent=1))
    run.attach(folder.jobs_table)
    idle = max(0.0, view.gpu_hours - view.busy_hours)
    return {"gpu_hours_allocated": view.gpu_hours, "gpu_hours_idle": idle} if view.gpu_hours else {}


def outcome_of_sweep(snapshot: Snapshot) -> Outcome:
    """How a sweep stands when nobody works on it."""
    if snapshot.num_left:
        return "interrupted"
    return "failed" if all(record.state == "failed" for record in snapshot.records) else "complete"


@contextmanager
def open_runs(folder: SweepFolder, scratch: Path) -> Iterator[None]:
    """As long as its file is there, runs may be open and Ray's files lie about."""
    mark = {"pid": os.getpid(), "host": socket.gethostname(), "scratch": str(scratch)}
    folder.open_runs.write_text(json.dumps(mark))
    try:
        yield
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    folder.open_runs.unlink()


def died_here(folder: SweepFolder) -> bool:
    """Whether a driver left its runs open that, if it is dead, died on this host.

    Of one on another host only the next driver may judge: it holds the lock.
    """
    mark = _mark(folder)
    return mark is not None and mark["host"] == socket.gethostname()


def clean_up(folder: SweepFolder, record: SweepRecord, snapshot: Snapshot) -> None:
    """After a driver that died: close its runs as the study says and remove Ray's files. Holds the lock."""
    mark = _mark(folder)
    if mark is None:
        return
    from orchestration.tracking.mlflow_store import MlflowTracker  # noqa: PLC0415 - imports mlflow

    scratch = Path(mark["scratch"])
    if scratch.name.startswith(SCRATCH_PREFIX) and mark["host"] == socket.gethostname():
        shutil.rmtree(scratch, ignore_errors=True)
    snapshot.save(folder.snapshot)
    if record.tracked:
        storage = Storage(folder.root.parent)
        tracker = MlflowTracker(tracking_target(record.tracking_uri, storage, folder.name, record.sweep_id))
        reconcile(tracker, snapshot.records, outcome_of_sweep(snapshot))
    folder.open_runs.unlink()


def _mark(folder: SweepFolder) -> dict[str, str] | None:
    try:
        mark: dict[str, str] = json.loads(folder.open_runs.read_text())
    except FileNotFoundError:
        return None
    return mark
