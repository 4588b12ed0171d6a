"""Runs in MLflow.

A run is found again by its tags, so that a trial that goes on after a stop goes on in the same run.
"""

from __future__ import annotations

import getpass
import logging
from functools import cached_property

from pydantic import TypeAdapter

from orchestration.embedded import database_of, make_database
from orchestration.errors import TrackingError
from orchestration.folders import trial_name
from orchestration.runs import Outcome, RunInfo, Target
from orchestration.sqlite import sync_less
from orchestration.tracking.client import Explained
from orchestration.tracking.mlflow_run import MAX_VALUE, MlflowRun

from mlflow.entities import Experiment, RunTag, ViewType  # isort: skip - after the settings of the client
from mlflow.entities import Run as MlflowEntity  # isort: skip
from mlflow.tracking import MlflowClient  # isort: skip

STATUS: dict[Outcome, str] = {
    "running": "RUNNING",
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
OUTCOMES: TypeAdapter[Outcome] = TypeAdapter(Outcome)


class MlflowTracker:
    """Runs in MLflow.

    Args:
        target: where they are.

    Raises:
        TrackingError: from every method, when the store cannot be reached or refuses.
    """

    def __init__(self, target: Target) -> None:
        logging.getLogger("alembic").setLevel(logging.ERROR)
        sync_less()
        self._target = target
        self._known: dict[int | None, str] = {}
        self._experiment_id: str | None = None

    @cached_property
    def _client(self) -> MlflowClient:
        """Made when it is needed: one of a database that is not there yet would begin to make it."""
        with Explained(self._target.uri):
            return MlflowClient(tracking_uri=self._target.uri)

    def open(self, trial: int | None, run_id: str | None = None) -> MlflowRun:
        """See :class:`orchestration.runs.Tracker`."""
        if trial is None:
            make_database(self._target.uri)
        else:
            self._require_sweep()
        if run_id:
            self._known[trial] = run_id
        with Explained(self._target.uri):
            found = self._find(trial)
            if found is None:
                return MlflowRun(self._client, self._create(trial), self._target.uri)
            self._client.update_run(found, status="RUNNING")
            self._client.set_tag(found, "wav2pix.outcome", "running")
            return MlflowRun(self._client, found, self._target.uri)

    def close(self, trial: int | None, outcome: Outcome, reason: str = "") -> None:
        """See :class:`orchestration.runs.Tracker`."""
        with Explained(self._target.uri):
            run_id = self._find(trial)
            if run_id is None:
                return
            tags: dict[str, str] = {"wav2pix.outcome": outcome}
            if reason:
                tags |= {"wav2pix.reason": reason[:MAX_VALUE]}
            if reason and trial is not None:
                tags |= {"mlflow.note.content": reason[:MAX_VALUE]}
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            self._client.set_terminated(run_id, STATUS[outcome])

    def runs(self) -> list[RunInfo]:
        """See :class:`orchestration.runs.Tracker`."""
        with Explained(self._target.uri):
            return [_info(run) for run in self._search("")]

    def _require_sweep(self) -> None:
        """The driver makes the store and the run of the sweep while the first trials start."""
        database = database_of(self._target.uri)
        if database is None or database.exists():
            with Explained(self._target.uri):
                if self._find(None):
                    return
        raise TrackingError(f"tracking at {self._target.uri} has no run of this sweep yet")

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
