"""What a sweep tracks: one run for itself and one for each trial, wherever they are kept.

Here is what a tracking store must do, a store in memory, and :class:`BackgroundRun`, which writes to any of
them off the training thread. The store that people use is in :mod:`orchestration.tracking`.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from orchestration.errors import TrackingError
from orchestration.folders import Storage

Outcome = Literal["running", "complete", "pruned", "failed", "interrupted"]

# Logged with every epoch, so that a run tells how far it has been logged.
EPOCH = "epoch"
TRIES = 5
FIRST_WAIT_S = 0.5


@dataclass(frozen=True)
class Target:
    """Which runs of which store: all that a worker needs to know.

    Attributes:
        uri: of the tracking store or server.
        sweep: the sweep's name, which its experiment bears as well.
        sweep_id: tells the sweep from others of the same name.
        artifacts: folder for artifacts; None leaves it to the server.
    """

    uri: str
    sweep: str
    sweep_id: str
    artifacts: str | None = None


@dataclass(frozen=True)
class RunInfo:
    """A run as it stands in the store; ``trial`` is None for the run of the sweep itself."""

    run_id: str
    trial: int | None
    outcome: Outcome
    is_running: bool


class Run(Protocol):
    """What a trial logs to."""

    @property
    def last_epoch(self) -> int:
        """The newest epoch that was logged before the run was opened; 0 if none was."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch."""

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Log parameters, of which only new ones are taken, and tags."""

    def attach(self, source: Path, folder: str = "") -> None:
        """Keep a file, or what is in a folder, as artifacts in ``folder``."""


class Tracker(Protocol):
    """The runs of one sweep."""

    def open(self, trial: int | None) -> Run:
        """The run of a trial, or of the sweep itself; made if there is none, and running from now on."""

    def close(self, trial: int | None, outcome: Outcome, reason: str = "") -> None:
        """End a run; nothing happens if there is none."""

    def runs(self) -> list[RunInfo]:
        """All runs of the sweep."""


def tracking_uri(uri: str | None) -> str | None:
    """Where runs are to be tracked: as the sweep file says, else as the environment does; None: embedded."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or None


def tracking_target(uri: str | None, storage: Storage, sweep: str, sweep_id: str) -> Target:
    """The store at ``uri``, or the embedded one: SQLite and a folder in the storage."""
    if uri:
        return Target(uri, sweep, sweep_id)
    artifacts = storage.artifacts.absolute() / sweep
    return Target(f"sqlite:///{storage.database.absolute()}", sweep, sweep_id, str(artifacts))


@dataclass
class MemoryRun:
    """A run in memory, for tests."""

    metrics: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    outcome: Outcome = "running"

    @property
    def last_epoch(self) -> int:
        """See :class:`Run`."""
        return max((epoch for epoch, _ in self.metrics), default=0)

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """See :class:`Run`."""
        self.metrics.append((epoch, dict(metrics)))

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """See :class:`Run`."""
        self.params = {key: str(value) for key, value in params.items()} | self.params
        self.tags |= tags

    def attach(self, source: Path, folder: str = "") -> None:
        """See :class:`Run`."""
        start = f"{folder}/" if folder else ""
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        base = source.parent if source.is_file() else source
        self.artifacts |= {f"{start}{path.relative_to(base).as_posix()}": path.read_bytes() for path in files}


class MemoryTracker:
    """Runs in memory, for tests."""

    def __init__(self) -> None:
        self.by_trial: dict[int | None, MemoryRun] = {}

    def open(self, trial: int | None) -> MemoryRun:
        """See :class:`Tracker`."""
        run = self.by_trial.setdefault(trial, MemoryRun())
        run.outcome = "running"
        return run

    def close(self, trial: int | None, outcome: Outcome, reason: str = "") -> None:
        """See :class:`Tracker`."""
        if trial in self.by_trial:
            self.by_trial[trial].outcome = outcome
            self.by_trial[trial].tags |= {"wav2pix.reason": reason} if reason else {}

    def runs(self) -> list[RunInfo]:
        """See :class:`Tracker`."""
        return [
            RunInfo(str(trial), trial, run.outcome, run.outcome == "running")
            for trial, run in self.by_trial.items()
        ]


class Writer:
    """A thread that does what it is given in order, and tries again when the store fails.

    Attributes:
        problems: what could not be done, for a person to read.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Do this after what was submitted before."""
        self._jobs.put(job)

    def flush(self, timeout_s: float) -> None:
        """Wait until everything so far is done, or the time is up."""
        done = threading.Event()
        self._jobs.put(done.set)
        done.wait(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Wait until everything is done, or the time is up, and end the thread."""
        self._jobs.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.problems.append(f"writing to the tracking store took longer than {timeout_s:.0f} s")

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            wait_s = FIRST_WAIT_S
            for attempt in range(TRIES):
                try:
                    job()
                    break
                except (TrackingError, OSError) as error:
                    if attempt == TRIES - 1:
                        self.problems.append(str(error))
                        break
                    time.sleep(wait_s)
                    wait_s *= 2


class BackgroundRun:
    """Writes to another run from a thread of its own, so that training does not wait for the store."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._writer = Writer()

    @property
    def problems(self) -> list[str]:
        """What could not be written, for a person to read."""
        return self._writer.problems

    @property
    def last_epoch(self) -> int:
        """See :class:`Run`."""
        return self._run.last_epoch

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """See :class:`Run`."""
        self._writer.submit(partial(self._run.log, epoch, dict(metrics)))

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """See :class:`Run`."""
        self._writer.submit(partial(self._run.describe, dict(params), dict(tags)))

    def attach(self, source: Path, folder: str = "") -> None:
        """See :class:`Run`. The source must stay until :meth:`close`."""
        self._writer.submit(partial(self._run.attach, source, folder))

    def flush(self, timeout_s: float) -> None:
        """Wait until everything so far is written, or the time is up."""
        self._writer.flush(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Wait until everything is written, or the time is up; nothing may be written afterwards."""
        self._writer.close(timeout_s)
