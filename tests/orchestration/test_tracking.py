"""Every tracking store behaves alike; the one that people use keeps its promises in MLflow's own terms."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from orchestration.errors import TrackingError
from orchestration.folders import Storage
from orchestration.ledger import reconcile
from orchestration.records import TrialRecord
from orchestration.runs import BackgroundRun, MemoryRun, MemoryTracker, Target, Tracker, tracking_target
from orchestration.tracking.mlflow_store import MlflowTracker


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return Storage(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def target(storage: Storage, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    name = request.node.name.replace("[", "-").rstrip("]")
    return tracking_target(None, storage, name, f"id-of-{name}")


@pytest.fixture(params=["memory", "mlflow"])
def tracker(request: pytest.FixtureRequest, target: Target) -> Tracker:
    return MemoryTracker() if request.param == "memory" else MlflowTracker(target)


def test_a_run_is_made_once_and_found_again(tracker: Tracker) -> None:
    tracker.open(None)
    tracker.open(3).log(1, {"l1": 0.5})
    tracker.close(3, "interrupted")
    again = tracker.open(3)
    assert again.last_epoch == 1
    assert sorted((run.trial, run.outcome, run.is_running) for run in tracker.runs() if run.trial) == [
        (3, "running", True)
    ]


@pytest.mark.parametrize("outcome", ["complete", "pruned", "failed", "interrupted"])
def test_a_closed_run_says_how_it_ended(tracker: Tracker, outcome: Any) -> None:
    tracker.open(None)
    tracker.open(7)
    tracker.close(7, outcome, "because")
    assert [(run.outcome, run.is_running) for run in tracker.runs() if run.trial == 7] == [(outcome, False)]


def test_closing_what_was_never_opened_does_nothing(tracker: Tracker) -> None:
    tracker.close(1, "complete")
    assert tracker.runs() == []


def test_parameters_may_be_given_again_and_stay_what_they_were(tracker: Tracker) -> None:
    tracker.open(None)
    tracker.open(1).describe({"a": 1, "b": 2}, {"tag": "x"})
    tracker.open(1).describe({"a": 9, "c": 3}, {"tag": "y"})


def test_a_dead_drivers_runs_are_closed_as_the_study_says(tracker: Tracker) -> None:
    for trial in (None, 0, 1, 2, 3):
        tracker.open(trial)
    tracker.close(0, "complete")
    records = [
        TrialRecord(0, "complete", {}),
        TrialRecord(1, "pruned", {}),
        TrialRecord(2, "failed", {}, reason="diverged"),
        TrialRecord(3, "running", {}),
    ]
    reconcile(tracker, records, "interrupted")
    assert {run.trial: run.outcome for run in tracker.runs()} == {
        None: "interrupted",
        0: "complete",
        1: "pruned",
        2: "failed",
        3: "interrupted",
    }
    assert not any(run.is_running for run in tracker.runs())


def test_mlflow_has_a_parent_run_with_a_child_for_each_trial(target: Target, tmp_path: Path) -> None:
    tracker = MlflowTracker(target)
    tracker.open(None)
    run = tracker.open(7)
    run.log(1, {"l1": 0.5, "loss": math.nan})
    run.log(2, {"l1": 0.25, "loss": math.inf})
    run.describe(
        {"loss.l1": 10.0, "long": "x" * 9000, **{f"p{i}": i for i in range(150)}}, {"wav2pix.data_hash": "ab"}
    )
    (tmp_path / "grid.png").write_bytes(b"png")
    run.attach(tmp_path / "grid.png", "pictures")
    tracker.close(7, "pruned")

    client = MlflowClient(target.uri)
    experiment = client.get_experiment_by_name(target.sweep)
    assert experiment is not None
    parent, child = sorted(client.search_runs([experiment.experiment_id]), key=lambda run: run.info.run_name)[
        ::-1
    ]
    if parent.info.run_name == "trial-0007":
        parent, child = child, parent
    assert child.info.run_name == "trial-0007"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["wav2pix.trial"] == "0007"
    assert child.data.tags["wav2pix.sweep"] == target.sweep
    assert child.info.status == "KILLED"
    history = client.get_metric_history(child.info.run_id, "l1")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.25)]
    assert all(math.isnan(metric.value) for metric in client.get_metric_history(child.info.run_id, "loss"))
    assert child.data.params["loss.l1"] == "10.0"
    assert len(child.data.params) == 152
    assert [file.path for file in client.list_artifacts(child.info.run_id, "pictures")] == ["pictures/grid.png"]


def test_two_sweeps_of_one_name_keep_their_runs_apart(target: Target) -> None:
    other = Target(target.uri, target.sweep, "another id", target.artifacts)
    MlflowTracker(target).open(None)
    MlflowTracker(other).open(None)
    assert len(MlflowTracker(target).runs()) == len(MlflowTracker(other).runs()) == 1


@pytest.mark.parametrize("uri", ["sqlite:////proc/nowhere/mlflow.db", "nonsense://nowhere"])
def test_a_store_that_cannot_be_opened_is_named(uri: str) -> None:
    with pytest.raises(TrackingError, match="nowhere"):
        MlflowTracker(Target(uri, "s", "id")).open(None)


def test_a_moved_storage_folder_is_noticed(target: Target) -> None:
    MlflowTracker(target).open(None)
    with pytest.raises(TrackingError, match="was moved"):
        MlflowTracker(Target(target.uri, target.sweep, "another id", "/elsewhere")).open(None)


class SlowAndFailing(MemoryRun):
    """Fails the first time that it is written to, and waits to be let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.failures = 1

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.go_on.wait(30)
        if self.failures:
            self.failures -= 1
            raise TrackingError("the store is away for a moment")
        super().log(epoch, metrics)


def test_training_does_not_wait_for_a_slow_store_and_nothing_is_lost() -> None:
    slow = SlowAndFailing()
    run = BackgroundRun(slow)
    for epoch in range(1, 51):
        run.log(epoch, {"l1": 1 / epoch})
    assert slow.metrics == []
    slow.go_on.set()
    run.close(30)
    assert [epoch for epoch, _ in slow.metrics] == list(range(1, 51))
    assert run.problems == []


def test_what_cannot_be_written_in_time_is_said() -> None:
    slow = SlowAndFailing()
    run = BackgroundRun(slow)
    run.log(1, {})
    run.close(0.1)
    assert "longer than" in run.problems[0]
    slow.go_on.set()
