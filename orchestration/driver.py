"""The driver of a sweep: plan it, run what is left of it, leave its books in order.

Everything that is slow to import is imported only when there is a trial to run, so that a sweep that is
complete says so at once.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration import books, space
from orchestration.books import Books, clean_up, died_here, open_runs
from orchestration.errors import TrackingError
from orchestration.folders import SCRATCH_PREFIX, Storage, SweepFolder
from orchestration.identity import SweepRecord, bucket_of, claim, same_sweep
from orchestration.ledger import Ledger, Watcher
from orchestration.lock import hold, is_held
from orchestration.provenance import running_code
from orchestration.ray_at import LocalRay, RayAt, RemoteRay
from orchestration.records import TrialRecord
from orchestration.runs import Target, tracking_target, tracking_uri
from orchestration.snapshot import Snapshot, SnapshotKeeper
from orchestration.spec import SweepSpec
from orchestration.sqlite import make_whole, set_journal
from orchestration.storage import artifacts_of
from orchestration.tracking.sync import Synced
from orchestration.work import Context, Trainer, Wav2PixTrainer, Work
from wav2pix.config import make_config
from wav2pix.data import open_dataset
from wav2pix.speakers import learned_identities

if TYPE_CHECKING:
    from orchestration.study import Study

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
            "run_artifacts": str(storage.artifacts) if not tracking_uri(spec.tracking.uri) else "the server's",
            "checkpoints": bucket_of(spec),
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
        ConfigError: a speaker to be held out is none of the data set.
        StorageError: the environment or the defaults file say of artifacts what cannot be.
        SweepError: the sweep's folder holds a sweep of other settings.
    """
    data = open_dataset(spec.data)
    held_out = {key: value for key, value in spec.settings.items() if key == "hold_out_identities"}
    learned_identities(make_config(spec.preset, held_out), data)
    # From now on the same in every process, whatever its environment says.
    spec = spec.model_copy(update={"artifacts": artifacts_of(spec.artifacts)})
    folder = Storage(spec.storage).sweep(spec.name)
    same_sweep(folder, spec, data.content_hash, tracking_uri(spec.tracking.uri))
    finished = sum(record.state != "running" for record in _load_snapshot(spec, folder).records)
    return Plan(spec, data.content_hash, len(data), len(data.identities), space.num_trials(spec), finished)


def read_sweep(folder: SweepFolder) -> Result:
    """How a sweep stands, from its folder alone; closes what a driver that died on this host left open."""
    record = SweepRecord.load(folder)
    if died_here(folder) and not is_held(folder.lock):
        # How it stands is known without the tracking store, which may be away for now.
        with suppress(TrackingError), hold(folder.lock, f"sweep '{folder.name}'", wait_s=1):
            clean_up(folder, record, _read_study(record.spec, folder))
    snapshot = _load_snapshot(record.spec, folder)
    return Result(record.spec, folder, snapshot.records, snapshot.num_left)


def sync(folder: SweepFolder) -> Synced:
    """Send what the tracking store does not have of a sweep, and close what nobody runs.

    Raises:
        SweepError: a driver runs the sweep, which sends all itself.
        TrackingError: the store is away; what it has it keeps.
    """
    record = SweepRecord.load(folder)
    with hold(folder.lock, f"sweep '{folder.name}'", wait_s=1):
        return books.sync(folder, record, _read_study(record.spec, folder))


def run_sweep(
    plan: Plan,
    watcher: Watcher,
    trainer: Trainer | None = None,
    ray_at: RemoteRay | None = None,
    stop: threading.Event | None = None,
    problem: Callable[[], str] = str,
) -> Result:
    """Run what is left of a sweep; safe to call again after any kind of end.

    Args:
        plan: what is to be done.
        watcher: is told of everything.
        trainer: what a trial runs; without it this project's.
        ray_at: a Ray to run the trials; without it one is started on this machine.
        stop: ends the sweep early, as Ctrl-C does, once it is set. Without it SIGINT and SIGTERM do.
        problem: is asked now and then for what keeps the sweep from going on; nothing: an empty text.

    Raises:
        SweepError: another process runs it, its folder holds a sweep of other settings, or there is a problem.
        TrackingError: the tracking store cannot be reached.
    """
    spec, folder = plan.spec, SweepFolder(plan.folder.root.absolute())
    folder.make()
    with hold(folder.lock, f"sweep '{spec.name}'", wait_s=1):
        uri = tracking_uri(spec.tracking.uri)
        record = claim(folder, spec, plan.data_hash, uri)
        _make_study(spec, folder, on_network=ray_at is not None)
        if folder.open_runs.is_file():
            clean_up(folder, record, _read_study(spec, folder))
        with closing(_open_study(spec, folder)) as study:
            study.start()
            problems: list[str] = []
            if study.num_left:
                storage, offline = Storage(spec.storage), spec.tracking.offline
                target = tracking_target(uri, storage, spec.name, record.sweep_id, offline=offline)
                sweep = _Sweep(study, _work(plan, trainer), folder, target)
                problems = sweep.run(watcher, ray_at or LocalRay(), stop, problem)
            return Result(plan.spec, plan.folder, study.records(), study.num_left, tuple(problems))


def _work(plan: Plan, trainer: Trainer | None) -> Work:
    data = plan.spec.data.absolute()
    size = {"pairs": plan.data_pairs, "identities": plan.identities}
    return Work(plan.spec, data, plan.data_hash, running_code(), size, trainer or Wav2PixTrainer())


def study_url(folder: SweepFolder) -> str:
    """Optuna's storage. One place to change for another database."""
    return f"sqlite:///{folder.study.absolute()}"


def _make_study(spec: SweepSpec, folder: SweepFolder, on_network: bool) -> None:
    """The database, if there is none, fit for the file system that it is on."""
    from orchestration.study import Study  # noqa: PLC0415 - imports optuna

    make_whole(folder.study, lambda partial: Study(spec, f"sqlite:///{partial.absolute()}").close())
    set_journal(folder.study, "delete" if on_network else "wal")


def _open_study(spec: SweepSpec, folder: SweepFolder) -> Study:
    from orchestration.study import Study  # noqa: PLC0415 - imports optuna

    return Study(spec, study_url(folder))


def _read_study(spec: SweepSpec, folder: SweepFolder) -> Snapshot:
    """How the sweep stands in truth. Holds the lock."""
    with closing(_open_study(spec, folder)) as study:
        return Snapshot(study.records(), study.num_left, time.time())


def _load_snapshot(spec: SweepSpec, folder: SweepFolder) -> Snapshot:
    """How the sweep stands as its driver last said."""
    return Snapshot.load(folder.snapshot) or Snapshot([], space.num_trials(spec), time.time())


@dataclass(frozen=True)
class _Sweep:
    """A sweep with trials left to run."""

    study: Study
    work: Work
    folder: SweepFolder
    target: Target

    def run(
        self, watcher: Watcher, ray_at: RayAt, stop: threading.Event | None, problem: Callable[[], str]
    ) -> list[str]:
        """Run them; what could not be tracked."""
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=_short_folder()))
        with open_runs(self.folder, scratch), ThreadPoolExecutor(1) as pool:
            from orchestration import sweep  # noqa: PLC0415 - imports ray

            # The store is opened while Ray starts, which is waiting mostly.
            own = Books(self.target, self.work, self.folder, pool)
            keeper = SnapshotKeeper(self.folder.snapshot, self._standing, own.progress)
            ledger = Ledger(self.study, own, watcher, keeper, self.work.spec.max_failures)
            context = Context(self.work, self.folder, self.target, scratch)
            try:
                sweep.run_trials(ledger, self.study.num_left, context, ray_at, stop, problem)
            finally:
                ledger.finish()
                snapshot = Snapshot(*self._standing(), time.time())
                problems = own.close(snapshot, [] if snapshot.num_left else self.study.plot(scratch))
            return [*ledger.problems, *problems]

    def _standing(self) -> tuple[list[TrialRecord], int]:
        return self.study.records(), self.study.num_left


def _short_folder() -> Path:
    """A temporary folder whose path leaves room for the names of Ray's sockets: 107 bytes in all."""
    folder = Path(tempfile.gettempdir())
    return folder if len(str(folder)) <= MAX_TEMPORARY_PATH else Path("/tmp")  # noqa: S108 - mkdtemp is private
