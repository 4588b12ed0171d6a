"""Tracking: a sweep is a run, each of its trials a run below it. Nothing else imports mlflow.

A run is found again by its tags, so that a trial that goes on after a stop goes on in the same run.
"""

from __future__ import annotations

import getpass
import logging
import math
import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

# Set before mlflow reads them: no reports home, no banners, and an unreachable server is noticed in a minute.
for _name, _setting in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_name, _setting)

from mlflow.entities import Experiment, Metric, Param, RunTag, ViewType  # noqa: E402 - reads the settings above
from mlflow.entities import Run as MlflowEntity  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

from orchestration.embedded import database_of, make_database  # noqa: E402
from orchestration.errors import TrackingError  # noqa: E402
from orchestration.folders import trial_name  # noqa: E402
from orchestration.runs import EPOCH, Outcome, RunInfo, Target  # noqa: E402
from orchestration.sqlite import sync_less  # noqa: E402

STATUS: dict[Outcome, str] = {
    "running": "RUNNING",
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
OUTCOMES: TypeAdapter[Outcome] = TypeAdapter(Outcome)
POLL_S = 0.1
MAX_REASON = 200
MAX_PARAM = 6000
MAX_PARAMS_A_CALL = 100


class MlflowTracker:
    """Runs in MLflow.

    Args:
        target: where they are.
        wait_s: how long a trial waits for the driver to make the store and the run of the sweep.

    Raises:
        TrackingError: from every method, when the store cannot be reached or refuses.
    """

    def __init__(self, target: Target, wait_s: float = 0) -> None:
        logging.getLogger("alembic").setLevel(logging.ERROR)
        sync_less()
        self._target = target
        self._wait_s = wait_s
        self._known: dict[int | None, str] = {}
        self._experiment_id: str | None = None

    @cached_property
    def _client(self) -> MlflowClient:
        """Made when it is needed: one of a database that is not there yet would begin to make it."""
        with _Explained(self._target.uri):
            return MlflowClient(tracking_uri=self._target.uri)

    def open(self, trial: int | None) -> MlflowRun:
        """See :class:`orchestration.runs.Tracker`."""
        if trial is None:
            make_database(self._target.uri)
        else:
            self._wait_for_sweep()
        with _Explained(self._target.uri):
            run_id = self._find(trial)
            if run_id is None:
                return MlflowRun(self._client, self._create(trial), self._target.uri)
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, "wav2pix.outcome", "running")
            return MlflowRun.existing(self._client, run_id, self._target.uri)

    def close(self, trial: int | None, outcome: Outcome, reason: str = "") -> None:
        """See :class:`orchestration.runs.Tracker`."""
        with _Explained(self._target.uri):
            run_id = self._find(trial)
            if run_id is None:
                return
            tags: dict[str, str] = {"wav2pix.outcome": outcome}
            if reason:
                tags |= {"wav2pix.reason": reason[:MAX_PARAM]}
            if reason and trial is not None:
                tags |= {"mlflow.note.content": reason[:MAX_PARAM]}
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            self._client.set_terminated(run_id, STATUS[outcome])

    def runs(self) -> list[RunInfo]:
        """See :class:`orchestration.runs.Tracker`."""
        with _Explained(self._target.uri):
            return [_info(run) for run in self._search("")]

    def _wait_for_sweep(self) -> None:
        deadline = time.monotonic() + self._wait_s
        database = database_of(self._target.uri)
        while True:
            if database is None or database.exists():
                with _Explained(self._target.uri):
                    if self._find(None):
                        return
            if time.monotonic() >= deadline:
                raise TrackingError(f"tracking at {self._target.uri} has no run of this sweep")
            time.sleep(POLL_S)

    def _find(self, trial: int | None) -> str | None:
        if trial not in self._known:
            which = "sweep" if trial is None else trial_name(trial)
            found = self._search(f" and tags.`wav2pix.trial` = '{which}'")
            if not found:
                return None
            self._known[trial] = str(found[0].info.run_id)
        return self._known[trial]

    def _search(self, extra: str) -> list[MlflowEntity]:
        if self._experiment_id is None:
            experiment = self._client.get_experiment_by_name(self._target.sweep)
            if experiment is None:
                return []
            self._experiment_id = str(experiment.experiment_id)
        condition = f"tags.`wav2pix.sweep_id` = '{self._target.sweep_id}'{extra}"
        found: list[MlflowEntity] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], condition, ViewType.ACTIVE_ONLY, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _create(self, trial: int | None) -> str:
        tags = {
            "wav2pix.sweep": self._target.sweep,
            "wav2pix.sweep_id": self._target.sweep_id,
            "wav2pix.trial": "sweep" if trial is None else trial_name(trial),
            "wav2pix.outcome": "running",
            "mlflow.user": _user(),
            "mlflow.source.name": "wav2pix sweep run",
            "mlflow.source.type": "LOCAL",
        }
        if trial is not None:
            tags |= {"mlflow.parentRunId": self._known[None]}
        name = self._target.sweep if trial is None else f"trial-{trial_name(trial)}"
        # A trial comes after the sweep, which has looked at the experiment.
        experiment = self._experiment_id if trial is not None else None
        run = self._client.create_run(experiment or self._experiment(), tags=tags, run_name=name)
        self._known[trial] = str(run.info.run_id)
        return self._known[trial]

    def _experiment(self) -> str:
        found: Experiment | None = self._client.get_experiment_by_name(self._target.sweep)
        if found is None:
            return str(
                self._client.create_experiment(self._target.sweep, artifact_location=self._target.artifacts)
            )
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        if self._target.artifacts and found.artifact_location != self._target.artifacts:
            raise TrackingError(
                f"{self._target.uri} keeps the artifacts of '{self._target.sweep}' in "
                f"{found.artifact_location}: the storage folder was moved; move it back, or rename the sweep"
            )
        return str(found.experiment_id)


class MlflowRun:
    """One run in MLflow."""

    def __init__(self, client: MlflowClient, run_id: str, uri: str) -> None:
        self._client = client
        self._run_id = run_id
        self._uri = uri
        self._params: set[str] = set()
        self._last_epoch = 0

    @classmethod
    def existing(cls, client: MlflowClient, run_id: str, uri: str) -> MlflowRun:
        """A run that was logged to before."""
        run = cls(client, run_id, uri)
        data = client.get_run(run_id).data
        run._params = set(data.params)
        if EPOCH in data.metrics:
            run._last_epoch = max(int(metric.value) for metric in client.get_metric_history(run_id, EPOCH))
        return run

    @property
    def last_epoch(self) -> int:
        """See :class:`orchestration.runs.Run`."""
        return self._last_epoch

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """See :class:`orchestration.runs.Run`. MLflow would make infinity a large number, so it becomes NaN."""
        now_ms = int(time.time() * 1000)
        batch = [
            Metric(name, value if math.isfinite(value) else math.nan, now_ms, epoch)
            for name, value in {**metrics, EPOCH: epoch}.items()
        ]
        with _Explained(self._uri):
            self._client.log_batch(self._run_id, metrics=batch)

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """See :class:`orchestration.runs.Run`."""
        new = [Param(key, str(value)[:MAX_PARAM]) for key, value in params.items() if key not in self._params]
        self._params |= {param.key for param in new}
        tagged = [RunTag(key, value) for key, value in tags.items()]
        with _Explained(self._uri):
            self._client.log_batch(self._run_id, params=new[:MAX_PARAMS_A_CALL], tags=tagged)
            for start in range(MAX_PARAMS_A_CALL, len(new), MAX_PARAMS_A_CALL):
                self._client.log_batch(self._run_id, params=new[start : start + MAX_PARAMS_A_CALL])

    def attach(self, source: Path, folder: str = "") -> None:
        """See :class:`orchestration.runs.Run`."""
        with _Explained(self._uri):
            log = self._client.log_artifacts if source.is_dir() else self._client.log_artifact
            log(self._run_id, str(source), folder or None)


class _Explained:
    """Turns whatever a store raises into a :class:`TrackingError` that names the store."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, MlflowException | OSError):
            what = str(error).splitlines()[0][:MAX_REASON]
            where = "'tracking' in the sweep file, or MLFLOW_TRACKING_URI, says where it is"
            raise TrackingError(f"tracking at {self._uri} failed ({where}): {what}") from error


def _info(run: MlflowEntity) -> RunInfo:
    tags = run.data.tags
    trial = tags.get("wav2pix.trial", "sweep")
    return RunInfo(
        run_id=run.info.run_id,
        trial=None if trial == "sweep" else int(trial),
        outcome=OUTCOMES.validate_python(tags.get("wav2pix.outcome", "running")),
        is_running=run.info.status == "RUNNING",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
