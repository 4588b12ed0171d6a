"""One trial from its newest checkpoint to its last epoch: train, keep, track, report. Knows nothing of Ray."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from orchestration.checks import trial_config
from orchestration.errors import OrchestrationError, StorageError
from orchestration.folders import SweepFolder, checkpoint_epoch, checkpoint_key, trial_key
from orchestration.provenance import Code
from orchestration.records import Progress
from orchestration.runs import BackgroundRun, Target, Tracker
from orchestration.spec import SweepSpec
from orchestration.storage import ArtifactStore
from wav2pix.config import TrainConfig
from wav2pix.errors import Wav2PixError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FLUSH_S = 120.0


class Epoch(Protocol):
    """What :class:`wav2pix.train.Epoch` gives."""

    @property
    def number(self) -> int: ...
    @property
    def metrics(self) -> dict[str, float]: ...
    def save(self, folder: Path) -> None: ...
    def pictures(self) -> npt.NDArray[np.uint8]: ...


class Trainer(Protocol):
    """What a trial runs."""

    def fit(self, config: TrainConfig, data: Path, resume: Path | None) -> Iterator[Epoch]:
        """Train on the data set in a folder, from a checkpoint if one is given, yielding after every epoch."""

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write what inference needs of a checkpoint to the folder ``out``."""


class Wav2PixTrainer:
    """The trainer of this project. torch takes seconds to import, so only a trial does it."""

    def fit(self, config: TrainConfig, data: Path, resume: Path | None) -> Iterator[Epoch]:
        """See :class:`Trainer`."""
        from wav2pix.data import open_dataset  # noqa: PLC0415 - imports torch
        from wav2pix.train import fit  # noqa: PLC0415 - imports torch

        yield from fit(config, open_dataset(data), resume)

    def export(self, checkpoint: Path, out: Path) -> None:
        """See :class:`Trainer`."""
        from wav2pix.checkpoint import export_model  # noqa: PLC0415 - imports torch

        export_model(checkpoint, out)


@dataclass(frozen=True)
class Report:
    """What a trial tells the driver after each epoch.

    Attributes:
        history: the objective by epoch: the new one, and after a resume the earlier ones too.
        is_last: nothing comes after this.
        problems: what could not be tracked.
    """

    progress: Progress
    history: dict[int, float]
    is_last: bool = False
    problems: tuple[str, ...] = ()

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Report:
        """What :meth:`dump` wrote."""
        tree = json.loads(text)
        history = {int(epoch): value for epoch, value in tree["history"].items()}
        return cls(Progress.parse(tree["progress"]), history, tree["is_last"], tuple(tree["problems"]))


@dataclass(frozen=True)
class Work:
    """All that a worker must know of a sweep to run its trials."""

    spec: SweepSpec
    data: Path
    data_hash: str
    code: Code
    trainer: Trainer = field(default_factory=Wav2PixTrainer)


@dataclass(frozen=True)
class Context:
    """What a worker is given.

    Attributes:
        work: what the trials share.
        folder: of the sweep.
        target: the runs of the sweep.
        scratch: a folder on the local disk that the driver removes in the end.
    """

    work: Work
    folder: SweepFolder
    target: Target
    scratch: Path


class TrialSession:
    """A trial while it runs in this process.

    Args:
        work: what the trials of the sweep share.
        number: of the trial.
        params: values of the searched settings.
        store: keeps checkpoints; the trial goes on from the newest one there.
        tracker: keeps the runs.
        scratch: for temporary files; without it where the system has them.
    """

    def __init__(
        self,
        work: Work,
        number: int,
        params: dict[str, Any],
        store: ArtifactStore,
        tracker: Tracker,
        scratch: Path | None = None,
    ) -> None:
        self._work = work
        self._number = number
        self._params = params
        self._store = store
        store.delete(f"{trial_key(number)}/failure.txt")
        self._config = _with_threads(trial_config(work.spec, params), work.spec.resources.cpus)
        self._scratch = tempfile.TemporaryDirectory(prefix="trial-", dir=scratch)
        self._folder = Path(self._scratch.name)
        self._run = BackgroundRun(tracker.open(number))
        self._progress = Progress()
        self._history: list[dict[str, Any]] = []
        self._told = 0
        self._closed = False
        self._describe()
        self._epochs = work.trainer.fit(self._config, work.data, self._restore())

    def step(self) -> Report:
        """Train one epoch, keep it, log it; after the last one wait until all is logged."""
        started = time.monotonic()
        epoch = next(self._epochs, None)
        if epoch is not None:
            self._take(epoch, time.monotonic() - started)
        is_last = epoch is None or epoch.number >= self._config.epochs
        if is_last:
            self._attach_model()
            self.close()
        return self._report(is_last)

    def keep_error(self) -> None:
        """Add the traceback of the exception that is being handled to the run."""
        path = self._folder / "error.txt"
        path.write_text(traceback.format_exc())
        self._run.attach(path)

    def close(self) -> None:
        """Write what is left to the tracking store and tidy up; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._run.close(FLUSH_S)
        self._scratch.cleanup()

    def _restore(self) -> Path | None:
        """Fetch the newest checkpoint with its history; log what the tracking store has not seen."""
        keys = self._store.list(f"{trial_key(self._number)}/checkpoints")
        if not keys:
            return None
        folder = self._folder / "resume"
        self._store.get(keys[-1], folder)
        for entry in json.loads((folder / "trial.json").read_text())["history"]:
            self._note(entry)
            self._log(entry)
        # What an earlier attempt left unsaid is said before this one can die as well.
        self._run.flush(FLUSH_S)
        return folder / "checkpoint"

    def _take(self, epoch: Epoch, seconds: float) -> None:
        """Keep an epoch, forget those that are neither newest nor best, and log it."""
        number = epoch.number
        entry = {"epoch": number, "metrics": dict(epoch.metrics), "seconds": seconds}
        self._note(entry)
        kept = self._folder / "epoch"
        epoch.save(kept / "checkpoint")
        Image.fromarray(epoch.pictures()).save(kept / "pictures.png")
        (kept / "trial.json").write_text(
            json.dumps({"params": self._params, "code": self._work.code.label, "history": self._history})
        )
        self._store.put(checkpoint_key(self._number, number), kept)
        for key in self._store.list(f"{trial_key(self._number)}/checkpoints"):
            if checkpoint_epoch(key) not in (number, self._progress.epoch):
                self._store.delete(key)
        self._log(entry)
        if (number - 1) % self._work.spec.picture_interval == 0 or number == self._config.epochs:
            picture = (kept / "pictures.png").rename(self._folder / f"epoch-{number:04d}.png")
            self._run.attach(picture, "pictures")
        shutil.rmtree(kept)

    def _note(self, entry: dict[str, Any]) -> None:
        """Add an epoch to the history and see whether it is the best so far."""
        self._history.append(entry)
        goals, metrics, old = self._work.spec.goals, entry["metrics"], self._progress
        values = tuple(
            metrics[goal.metric] for goal in goals if math.isfinite(metrics.get(goal.metric, math.nan))
        )
        better = len(values) == len(goals) and (
            not old.values or len(goals) > 1 or goals[0].better(values[0], old.values[0])
        )
        self._progress = Progress(
            epochs=entry["epoch"],
            epoch=entry["epoch"] if better else old.epoch,
            values=values if better else old.values,
            metrics=metrics if better else old.metrics,
            seconds=old.seconds + entry["seconds"],
        )

    def _report(self, is_last: bool) -> Report:
        metric = self._work.spec.goals[0].metric
        new = [entry for entry in self._history if entry["epoch"] > self._told and metric in entry["metrics"]]
        self._told = self._progress.epochs
        history = {entry["epoch"]: entry["metrics"][metric] for entry in new}
        return Report(self._progress, history, is_last, tuple(self._run.problems))

    def _log(self, entry: dict[str, Any]) -> None:
        if entry["epoch"] > self._run.last_epoch:
            self._run.log(entry["epoch"], entry["metrics"])

    def _describe(self) -> None:
        """Parameters, configuration, code and data: all that it takes to do the same again."""
        tags = {
            "wav2pix.data_hash": self._work.data_hash,
            "wav2pix.searched": ", ".join(self._params),
            "mlflow.source.git.commit": self._work.code.commit,
        }
        config = self._config.model_dump(mode="json")
        self._run.describe(flatten(config), {key: value for key, value in tags.items() if value})
        path = self._folder / "config.json"
        path.write_text(json.dumps(config, indent=2))
        self._run.attach(path)
        if self._work.code.diff:
            path = self._folder / "code.diff"
            path.write_text(self._work.code.diff)
            self._run.attach(path)

    def _attach_model(self) -> None:
        """The weights of the best epoch, ready for inference."""
        if not self._progress.epoch:
            return
        self._store.get(checkpoint_key(self._number, self._progress.epoch), self._folder / "best")
        self._work.trainer.export(self._folder / "best" / "checkpoint", self._folder / "model")
        self._run.attach(self._folder / "model", "model")
        self._run.describe({}, {"wav2pix.best_epoch": str(self._progress.epoch)})


def write_failure(store: ArtifactStore, number: int, error: Exception) -> None:
    """Leave word of why a trial failed, for the driver: an exception of ours says all in its message."""
    known = isinstance(error, Wav2PixError | OrchestrationError)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    with tempfile.TemporaryDirectory(prefix="wav2pix-trial-") as folder:
        path = Path(folder) / "failure.txt"
        path.write_text(reason)
        store.put(f"{trial_key(number)}/failure.txt", path)


def read_failure(store: ArtifactStore, number: int) -> str:
    """Why a trial failed. One that left no word had no time to."""
    with tempfile.TemporaryDirectory(prefix="wav2pix-trial-") as folder:
        path = Path(folder) / "failure.txt"
        try:
            store.get(f"{trial_key(number)}/failure.txt", path)
        except StorageError:
            return "its process was killed, or ran out of memory"
        return path.read_text()


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _with_threads(config: TrainConfig, cpus: float) -> TrainConfig:
    """As many threads as the trial has CPUs, unless the sweep file says otherwise."""
    if config.runtime.num_threads:
        return config
    runtime = config.runtime.model_copy(update={"num_threads": max(1, int(cpus))})
    return config.model_copy(update={"runtime": runtime})
