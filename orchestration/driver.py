"""The driver of a sweep on this machine: plan it, run what is left of it, leave its books in order.

Everything that is slow to import is imported only when there is a trial to run, so that a sweep that is
complete says so at once.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestration import results, space
from orchestration.errors import TrackingError
from orchestration.folders import SCRATCH_PREFIX, Storage, SweepFolder
from orchestration.identity import SweepRecord, claim, same_sweep
from orchestration.ledger import Ledger, Watcher, reconcile
from orchestration.lock import hold, is_held
from orchestration.provenance import running_code
from orchestration.records import TrialRecord
from orchestration.report import keep_best_picture, write_table
from orchestration.runs import Outcome, Target, Tracker, tracking_target, tracking_uri
from orchestration.session import Context, Trainer, Wav2PixTrainer, Work
from orchestration.spec import SweepSpec
from orchestration.sqlite import make_whole
from orchestration.storage import FolderStore
from orchestration.study import Study
from wav2pix.data import open_dataset

MAX_TEMPORARY_PATH = 24


@dataclass(frozen=True)
class Plan:
    """What running a sweep file will do."""

    spec: SweepSpec
    data_hash: str
    data_pairs: int
    identities: int
    num_trials: int
    num_finished: int

    @property
    def num_left(self) -> int:
        """Trials still to run or to finish."""
        return max(0, self.num_trials - self.num_finished)

    @property
    def folder(self) -> SweepFolder:
        """Where the sweep is kept."""
        return Storage(self.spec.storage).sweep(self.spec.name)

    def rows(self) -> dict[str, Any]:
        """For a table or JSON."""
        spec, storage = self.spec, Storage(self.spec.storage)
        return {
            "sweep": spec.name,
            "data": f"{spec.data} ({self.data_pairs} pairs, {self.identities} identities)",
            "data_hash": self.data_hash,
            "preset": spec.preset,
            "searched": ", ".join(spec.search),
            "sampler": spec.sampler.type,
            "scheduler": spec.scheduler.type,
            "objective": ", ".join(f"{goal.direction} {goal.metric}" for goal in spec.goals),
            "trials": f"{self.num_trials}, of which {self.num_finished} are finished",
            "epochs": f"at most {spec.epochs} a trial, {spec.epochs * self.num_left} still to run",
            "at_once": f"{spec.max_concurrent}, of {spec.resources.cpus:g} CPUs, {spec.resources.gpus:g} GPUs",
            "sweep_folder": str(self.folder.root),
            "tracking": tracking_uri(spec.tracking.uri) or f"sqlite:///{storage.database}",
            "artifacts": str(storage.artifacts) if not tracking_uri(spec.tracking.uri) else "the server's",
        }


@dataclass(frozen=True)
class Result:
    """How a sweep stands after a run.

    Attributes:
        records: every trial that was started.
        num_left: trials that are still to run; none: the sweep is complete.
        problems: what could not be tracked.
    """

    spec: SweepSpec
    folder: SweepFolder
    records: list[TrialRecord]
    num_left: int
    problems: tuple[str, ...] = ()


def make_plan(spec: SweepSpec) -> Plan:
    """What running a sweep would do now.

    Raises:
        DataError: the data set is not there or not usable.
        SweepError: the sweep's folder holds a sweep of other settings.
    """
    data = open_dataset(spec.data)
    folder = Storage(spec.storage).sweep(spec.name)
    same_sweep(folder, spec, data.content_hash, tracking_uri(spec.tracking.uri))
    finished = sum(record.state != "running" for record in _read_study(spec, folder)[0])
    return Plan(spec, data.content_hash, len(data), len(data.identities), space.num_trials(spec), finished)


def run_sweep(plan: Plan, watcher: Watcher, trainer: Trainer | None = None) -> Result:
    """Run what is left of a sweep; safe to call again after any kind of end.

    Raises:
        SweepError: another process runs it, or its folder holds a sweep of other settings.
        TrackingError: the tracking store cannot be reached.
    """
    spec, folder = plan.spec, plan.folder
    with hold(folder.lock, f"sweep '{spec.name}'", wait_s=1):
        uri = tracking_uri(spec.tracking.uri)
        record = claim(folder, spec, plan.data_hash, uri)
        _clean_up(folder, record)
        make_whole(folder.study, lambda partial: Study(spec, f"sqlite:///{partial.absolute()}").close())
        with closing(Study(spec, study_url(folder))) as study:
            study.start()
            problems: list[str] = []
            if study.num_left:
                target = tracking_target(uri, Storage(spec.storage), spec.name, record.sweep_id)
                trainer = trainer or Wav2PixTrainer()
                work = Work(spec, spec.data.absolute(), plan.data_hash, running_code(), trainer)
                problems = _run_trials(study, work, folder, target, watcher)
            return Result(spec, folder, study.records(), study.num_left, tuple(problems))


def read_sweep(folder: SweepFolder) -> Result:
    """How a sweep stands, from its folder alone; closes what a driver that died left open."""
    record = SweepRecord.load(folder)
    if folder.open_runs.is_file() and not is_held(folder.lock):
        # How it stands is known without the tracking store, which may be away for now.
        with suppress(TrackingError), hold(folder.lock, f"sweep '{folder.name}'", wait_s=1):
            _clean_up(folder, record)
    return Result(record.spec, folder, *_read_study(record.spec, folder))


def _read_study(spec: SweepSpec, folder: SweepFolder) -> tuple[list[TrialRecord], int]:
    """The trials that were started, and how many are left."""
    if not folder.study.is_file():
        return [], space.num_trials(spec)
    with closing(Study(spec, study_url(folder))) as study:
        return study.records(), study.num_left


def study_url(folder: SweepFolder) -> str:
    """Optuna's storage. One place to change for another database."""
    return f"sqlite:///{folder.study.absolute()}"


def _run_trials(study: Study, work: Work, folder: SweepFolder, target: Target, watcher: Watcher) -> list[str]:
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=_short_folder()))
    with _open_runs(folder, scratch), ThreadPoolExecutor(1) as pool:
        from orchestration import sweep  # noqa: PLC0415 - imports ray

        # While Ray starts, which is waiting mostly; making a tracking database takes as long.
        tracker = pool.submit(_open_sweep, target, work, folder, scratch)
        ledger = Ledger(study, tracker, FolderStore(folder.root), watcher)
        try:
            sweep.run_trials(ledger, study.num_left, Context(work, folder, target, scratch))
        finally:
            ledger.finish()
            _close_sweep(tracker.result(), work.spec, folder, study)
        return ledger.problems


def _short_folder() -> Path:
    """A temporary folder whose path leaves room for the names of Ray's sockets: 107 bytes in all."""
    folder = Path(tempfile.gettempdir())
    return folder if len(str(folder)) <= MAX_TEMPORARY_PATH else Path("/tmp")  # noqa: S108 - mkdtemp is private


def _open_sweep(target: Target, work: Work, folder: SweepFolder, scratch: Path) -> Tracker:
    """The run of the sweep itself, which also makes the database before any trial wants it."""
    from orchestration.tracking import MlflowTracker  # noqa: PLC0415 - imports mlflow

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
    tags = {"mlflow.note.content": note, "wav2pix.data_hash": work.data_hash}
    tags |= {"mlflow.source.git.commit": work.code.commit} if work.code.commit else {}
    run.describe(params, tags)
    replace(SweepRecord.load(folder), tracked=True).save(folder)
    run.attach(folder.record)
    if work.code.diff:
        path = scratch / "code.diff"
        path.write_text(work.code.diff)
        run.attach(path)
    return tracker


def _close_sweep(tracker: Tracker, spec: SweepSpec, folder: SweepFolder, study: Study) -> None:
    run = tracker.open(None)
    records = study.records()
    best = results.best(records, spec.goals)
    if best:
        run.log(sum(record.state != "running" for record in records), results.summary(best[0], spec.goals))
        run.describe({}, {"wav2pix.best_trial": f"{best[0].number:04d}"})
        if keep_best_picture(FolderStore(folder.root), best[0], folder):
            run.attach(folder.best_picture)
    run.attach(write_table(folder, records, spec))
    tracker.close(None, _sweep_outcome(records, study.num_left))


def _sweep_outcome(records: list[TrialRecord], num_left: int) -> Outcome:
    if num_left:
        return "interrupted"
    return "failed" if all(record.state == "failed" for record in records) else "complete"


@contextmanager
def _open_runs(folder: SweepFolder, scratch: Path) -> Iterator[None]:
    """As long as its file is there, runs may be open and Ray's files lie about."""
    folder.open_runs.write_text(json.dumps({"pid": os.getpid(), "scratch": str(scratch)}))
    try:
        yield
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    folder.open_runs.unlink()


def _clean_up(folder: SweepFolder, record: SweepRecord) -> None:
    """After a driver that died: close its runs as the study says and remove Ray's files. Holds the lock."""
    if not folder.open_runs.is_file():
        return
    from orchestration.tracking import MlflowTracker  # noqa: PLC0415 - imports mlflow

    scratch = Path(json.loads(folder.open_runs.read_text())["scratch"])
    if scratch.name.startswith(SCRATCH_PREFIX):
        shutil.rmtree(scratch, ignore_errors=True)
    if record.tracked:
        storage = Storage(folder.root.parent)
        tracker = MlflowTracker(tracking_target(record.tracking_uri, storage, folder.name, record.sweep_id))
        records, num_left = _read_study(record.spec, folder)
        reconcile(tracker, records, _sweep_outcome(records, num_left))
    folder.open_runs.unlink()
