"""One trial from its newest checkpoint to its last epoch: train, keep, track, report. Knows nothing of Ray."""

from __future__ import annotations

import json
import logging
import math
import shutil
import socket
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from PIL import Image

from orchestration.checkpoints import Checkpoints, ranked
from orchestration.checks import trial_config
from orchestration.environment import this_environment
from orchestration.records import Progress, Report
from orchestration.report import PICTURES
from orchestration.secrets import masked
from orchestration.spec import AshaScheduler
from orchestration.storage import Artifacts, ArtifactStore, DamagedArtifact, MissingArtifact
from orchestration.tracking.run_log import RunLog
from orchestration.trial_log import SILENT, epoch_line, this_job, this_place
from orchestration.work import Epoch, Work
from wav2pix.config import TrainConfig

# The objective under one name, whatever it is, for charts over several sweeps.
OBJECTIVE = "objective"
BEST = "best_objective"
# What the pictures are called where they are shown by epoch.
FACES = "faces"
# MLflow takes no longer ones.
MAX_DIGEST = 36


class TrialSession:
    """A trial while it runs in this process.

    Args:
        work: what the trials of the sweep share.
        number: of the trial.
        params: values of the searched settings.
        store: keeps checkpoints; the trial goes on from the newest one there.
        run: what it logs to; whoever opened it closes it, after this.
        scratch: for temporary files; without it where the system has them.
        log: is told what happens.
    """

    def __init__(
        self,
        work: Work,
        number: int,
        params: dict[str, Any],
        store: ArtifactStore,
        run: RunLog,
        scratch: Path | None = None,
        log: logging.Logger = SILENT,
    ) -> None:
        self._work = work
        self._number = number
        self._params = params
        kept = work.spec.artifacts or Artifacts()
        self._checkpoints = Checkpoints(store, number, kept.keep_newest, kept.keep_best, log)
        self._say = log
        self._config = _with_threads(trial_config(work.spec, params), work.spec.resources.cpus)
        self._scratch = tempfile.TemporaryDirectory(prefix="trial-", dir=scratch)
        self._folder = Path(self._scratch.name)
        self._run = run
        self._progress = Progress()
        self._history: list[dict[str, Any]] = []
        self._told = 0
        self._closed = False
        self._place = {"host": socket.gethostname(), "job": this_job()}
        log.info("on %s", this_place())
        resume = self._restore()
        log.info("goes on after epoch %d", self._progress.epochs) if resume else log.info("starts")
        self._describe()
        self._epochs = work.trainer.fit(self._config, work.data, resume)

    def step(self) -> Report:
        """Train one epoch, keep it, log it."""
        started = time.monotonic()
        epoch = next(self._epochs, None)
        if epoch is not None:
            self._take(epoch, time.monotonic() - started)
        is_last = epoch is None or epoch.number >= self._config.epochs
        if is_last:
            self._attach_model()
            self.close("complete")
        return self._report(is_last)

    def fail(self) -> None:
        """Add the traceback of the exception that is being handled to the run and close it."""
        self._run.attach_text(traceback.format_exc(), "error.txt")
        self._say.exception("after epoch %d: failed", self._progress.epochs)
        self.close("")

    def close(self, why: str = "stopped, by the study or with the sweep") -> None:
        """Say why and tidy up; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if why:
            self._say.info("after epoch %d: %s", self._progress.epochs, why)
        self._scratch.cleanup()

    def _restore(self) -> Path | None:
        """Fetch the newest checkpoint with its history; log what the tracking store has not seen."""
        folder = self._checkpoints.newest(self._folder / "resume")
        if folder is None:
            return None
        for entry in json.loads((folder / "trial.json").read_text())["history"]:
            self._note(entry)
            self._log(entry)
        # The process that made the checkpoint may have died before it came to this.
        self._show(folder, self._progress.epochs)
        return folder / "checkpoint"

    def _take(self, epoch: Epoch, seconds: float) -> None:
        """Keep an epoch, forget those that are neither newest nor best, and log it."""
        number = epoch.number
        metrics = dict(epoch.metrics)
        entry = {"epoch": number, "metrics": metrics, "seconds": seconds} | self._place
        self._note(entry)
        kept = self._folder / "epoch"
        epoch.save(kept / "checkpoint")
        Image.fromarray(epoch.pictures()).save(kept / PICTURES)
        (kept / "trial.json").write_text(
            json.dumps({"params": self._params, "code": self._work.code.label, "history": self._history})
        )
        # Before it is kept: an epoch that is told twice misleads nobody, one that is missing does.
        goals = [goal.metric for goal in self._work.spec.goals]
        self._say.info(epoch_line(number, self._config.epochs, metrics, goals, seconds))
        self._checkpoints.keep(number, kept, self._ranking())
        self._log(entry)
        self._show(kept, number)
        shutil.rmtree(kept)

    def _show(self, kept: Path, epoch: int) -> None:
        """Log the pictures of an epoch, if it is one of the few."""
        if (epoch - 1) % self._work.spec.picture_interval == 0 or epoch == self._config.epochs:
            self._run.picture(kept / PICTURES, FACES, epoch)

    def _ranking(self) -> list[int]:
        """Epochs by the objective, the best first."""
        goals = self._work.spec.goals
        values = {
            entry["epoch"]: [entry["metrics"].get(goal.metric, math.nan) for goal in goals]
            for entry in self._history
        }
        return ranked(values, goals)

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
            seconds_by_job=old.seconds_by_job
            | {entry["job"]: old.seconds_by_job.get(entry["job"], 0.0) + entry["seconds"]},
        )

    def _report(self, is_last: bool) -> Report:
        metric = self._work.spec.goals[0].metric
        new = [entry for entry in self._history if entry["epoch"] > self._told and metric in entry["metrics"]]
        self._told = self._progress.epochs
        history = {entry["epoch"]: entry["metrics"][metric] for entry in new}
        return Report(self._progress, history, is_last, tuple(self._run.problems))

    def _log(self, entry: dict[str, Any]) -> None:
        """Log the newest epoch of the history, if that was not done before."""
        spec, metrics = self._work.spec, dict(entry["metrics"])
        if spec.goals[0].metric in metrics:
            metrics[OBJECTIVE] = metrics[spec.goals[0].metric]
        if len(spec.goals) == 1 and self._progress.values:
            # What `compare` shows: the last value of a metric, which the UI shows, may be a worse one.
            metrics[BEST] = self._progress.values[0]
        if spec.resources.gpus:
            metrics["gpu_seconds"] = spec.resources.gpus * self._progress.seconds
        if isinstance(spec.scheduler, AshaScheduler):
            metrics["rung"] = spec.scheduler.rung(entry["epoch"])
        self._run.log(entry["epoch"], metrics)

    def _describe(self) -> None:
        """Parameters, configuration, code and data: all that it takes to do it again; and where it ran."""
        places = [*self._history, self._place]
        tags = {
            "wav2pix.data_hash": self._work.data_hash,
            "wav2pix.searched": ", ".join(self._params),
            "wav2pix.hosts": ", ".join(dict.fromkeys(place["host"] for place in places)),
            "wav2pix.slurm_jobs": ", ".join(dict.fromkeys(place["job"] for place in places if place["job"])),
        } | self._work.code.tags
        environment = this_environment()
        tags |= {f"wav2pix.{key}": value for key, value in environment.values.items()}
        config = self._config.model_dump(mode="json")
        self._run.describe(flatten(config), {key: value for key, value in tags.items() if value})
        self._run.attach_text(json.dumps(masked(config), indent=2), "config.json")
        for path in environment.write(self._folder):
            self._run.attach(path, "environment")
        if self._work.code.diff:
            self._run.attach_text(self._work.code.diff, "code.diff")
        for split in ("train", "validation"):
            name, digest = f"{self._work.data.name}-{split}", self._work.data_hash[:MAX_DIGEST]
            self._run.dataset(name, digest, str(self._work.data), split, self._work.data_size)

    def _attach_model(self) -> None:
        """The weights of the best epoch, ready for inference."""
        if not self._progress.epoch:
            return
        try:
            self._checkpoints.fetch(self._progress.epoch, self._folder / "best")
        except (DamagedArtifact, MissingArtifact) as error:
            # All that was trained is there all the same; a trial that is over does not fail of it.
            self._say.warning("no model is attached: %s", error)
            return
        self._work.trainer.export(self._folder / "best" / "checkpoint", self._folder / "model")
        self._run.model(self._folder / "model")
        self._run.describe({}, {"wav2pix.best_epoch": str(self._progress.epoch)})


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
