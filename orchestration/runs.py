"""What a sweep tracks: one run for itself and one for each trial, wherever they are kept.

Here is what a tracking store must do, and a store in memory. The store that people use is in
:mod:`orchestration.tracking.mlflow_store`; what is logged gets there by way of a journal
(:mod:`orchestration.tracking.journal`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from orchestration.defaults import load_defaults
from orchestration.errors import SweepError
from orchestration.folders import Storage
from orchestration.secrets import has_password
from orchestration.tracking.journal import (
    Artifact,
    Dataset,
    Entry,
    Metrics,
    Model,
    Params,
    Picture,
    Tags,
)

Outcome = Literal["running", "complete", "pruned", "failed", "interrupted"]


@dataclass(frozen=True)
class Target:
    """Which runs of which store: all that a worker needs to know.

    Attributes:
        uri: of the tracking store or server.
        sweep: the sweep's name, which its experiment bears as well.
        sweep_id: tells the sweep from others of the same name.
        artifacts: folder for artifacts; None leaves it to the server.
        offline: nothing is sent until somebody asks for it.
    """

    uri: str
    sweep: str
    sweep_id: str
    artifacts: str | None = None
    offline: bool = False


@dataclass(frozen=True)
class RunInfo:
    """A run as it stands in the store; ``trial`` is None for the run of the sweep itself."""

    run_id: str
    trial: int | None
    outcome: Outcome
    is_running: bool


class Run(Protocol):
    """A run of a store, for whoever sends it what was logged."""

    @property
    def run_id(self) -> str:
        """The store's name of it."""

    def send(self, entries: Sequence[Entry], folder: Path) -> None:
        """Add entries; of those that are there already, nothing.

        Args:
            folder: that files of entries are relative to.

        Raises:
            TrackingRefused: one of them can never be added.
            TrackingError: the store is away.
        """


class Tracker(Protocol):
    """The runs of one sweep. Every method may raise ``TrackingError``: the store is away."""

    def open(self, trial: int | None, run_id: str | None = None) -> Run:
        """The run of a trial, or of the sweep itself; made if there is none, and running from now on."""

    def close(self, trial: int | None, outcome: Outcome, reason: str = "") -> None:
        """End a run; nothing happens if there is none."""

    def runs(self) -> list[RunInfo]:
        """All runs of the sweep."""


def tracking_uri(uri: str | None) -> str | None:
    """Where runs are to be tracked: as the sweep file, the environment or the defaults say; None: embedded.

    Raises:
        SweepError: a password is in it, which would end up in files and logs.
    """
    found = uri or os.environ.get("MLFLOW_TRACKING_URI") or load_defaults().tracking.get("uri")
    if found and has_password(found):
        raise SweepError(
            "the address of the tracking server holds a password: put it into MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, and the address without it into MLFLOW_TRACKING_URI"
        )
    return found or None


def tracking_target(
    uri: str | None, storage: Storage, sweep: str, sweep_id: str, *, offline: bool = False
) -> Target:
    """The store at ``uri``, or the embedded one: SQLite and a folder in the storage."""
    if uri:
        return Target(uri, sweep, sweep_id, offline=offline)
    artifacts = storage.artifacts.absolute() / sweep
    return Target(f"sqlite:///{storage.database.absolute()}", sweep, sweep_id, str(artifacts), offline)


@dataclass
class MemoryRun:
    """A run in memory, for tests."""

    run_id: str
    metrics: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = "running"

    def send(self, entries: Sequence[Entry], folder: Path) -> None:
        """See :class:`Run`."""
        for entry in entries:
            match entry:
                case Metrics(step=step, values=values):
                    self.metrics += [] if (step, values) in self.metrics else [(step, dict(values))]
                case Params(values=values):
                    self.params = {**values, **self.params}
                case Tags(values=values):
                    self.tags |= values
                case Dataset(name=name, digest=digest):
                    self.datasets[name] = digest
                case Artifact(file=file, folder=under):
                    self._keep(folder / file, f"{under}/" if under else "")
                case Picture(file=file, key=key, step=step):
                    self.artifacts[f"images/{key}-{step}.png"] = (folder / file).read_bytes()
                case Model(file=file):
                    self._keep(folder / file, "model/")

    def _keep(self, source: Path, start: str) -> None:
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        base = source.parent if source.is_file() else source
        self.artifacts |= {f"{start}{path.relative_to(base).as_posix()}": path.read_bytes() for path in files}


class MemoryTracker:
    """Runs in memory, for tests."""

    def __init__(self) -> None:
        self.by_trial: dict[int | None, MemoryRun] = {}

    def open(self, trial: int | None, run_id: str | None = None) -> MemoryRun:
        """See :class:`Tracker`."""
        run = self.by_trial.setdefault(trial, MemoryRun(run_id or f"run-of-{trial}"))
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
            RunInfo(run.run_id, trial, run.outcome, run.outcome == "running")
            for trial, run in self.by_trial.items()
        ]
