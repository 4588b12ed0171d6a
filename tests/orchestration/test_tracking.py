"""Every tracking store behaves alike; the one that people use keeps its promises in MLflow's own terms."""

from __future__ import annotations

import math
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from orchestration.errors import TrackingError
from orchestration.folders import Storage
from orchestration.records import TrialRecord
from orchestration.runs import MemoryTracker, Target, Tracker, tracking_target
from orchestration.tracking.journal import Artifact, Dataset, Metrics, Params, Picture, Tags
from orchestration.tracking.mlflow_store import MlflowTracker
from orchestration.tracking.sync import reconcile


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


def metrics(step: int, **values: float) -> Metrics:
    return Metrics(step=step, time_ms=1_700_000_000_000 + step, values=values)


def test_a_run_is_made_once_and_found_again(tracker: Tracker) -> None:
    tracker.open(None)
    first = tracker.open(3)
    tracker.close(3, "interrupted")
    assert tracker.open(3).run_id == first.run_id
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
    assert reconcile(tracker, records, "interrupted") == 4
    assert {run.trial: run.outcome for run in tracker.runs()} == {
        None: "interrupted",
        0: "complete",
        1: "pruned",
        2: "failed",
        3: "interrupted",
    }
    assert not any(run.is_running for run in tracker.runs())
    assert reconcile(tracker, records, "interrupted") == 0, "a second time there is nothing to do"


def test_a_trial_that_failed_before_its_first_word_has_a_run(tracker: Tracker) -> None:
    tracker.open(None)
    reconcile(tracker, [TrialRecord(4, "failed", {}, reason="no data")], "failed")
    assert {run.trial: run.outcome for run in tracker.runs()} == {None: "failed", 4: "failed"}


def test_mlflow_has_a_parent_run_with_a_child_for_each_trial(target: Target, tmp_path: Path) -> None:
    tracker = MlflowTracker(target)
    tracker.open(None)
    run = tracker.open(7)
    Image.new("RGB", (400, 100)).save(tmp_path / "grid.png")
    entries = [
        metrics(1, l1=0.5, loss=math.nan),
        metrics(2, l1=0.25, loss=math.inf),
        Params(values={"loss.l1": "10.0", "long": "x" * 9000, **{f"p{i}": str(i) for i in range(150)}}),
        Tags(values={"wav2pix.data_hash": "ab"}),
        Artifact(file="grid.png", folder="pictures"),
        Picture(file="grid.png", key="faces", step=2, time_ms=5),
        Dataset(name="d-train", digest="ab", source="/d", context="train", profile={"pairs": 3}),
    ]
    run.send(entries, tmp_path)
    # As after an answer that was lost.
    run.send(entries, tmp_path)
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
    images = [file.path for file in client.list_artifacts(child.info.run_id, "images")]
    assert [image.split("+")[:3] for image in images] == [["images/faces", "step", "2"]] * 2
    assert child.data.tags["mlflow.loggedImages"] == "true"
    assert [(used.dataset.name, used.tags[0].value) for used in child.inputs.dataset_inputs] == [
        ("d-train", "train")
    ]


def test_two_sweeps_of_one_name_keep_their_runs_apart(target: Target) -> None:
    other = Target(target.uri, target.sweep, "another id", target.artifacts)
    MlflowTracker(target).open(None)
    MlflowTracker(other).open(None)
    assert len(MlflowTracker(target).runs()) == len(MlflowTracker(other).runs()) == 1


@pytest.mark.parametrize("uri", ["sqlite:////proc/nowhere/mlflow.db", "nonsense://nowhere"])
def test_a_store_that_cannot_be_opened_is_named(uri: str) -> None:
    with pytest.raises(TrackingError, match="nowhere"):
        MlflowTracker(Target(uri, "s", "id")).open(None)


def test_a_server_that_wants_a_login_says_how_to_give_it(tmp_path: Path) -> None:
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(TrackingError, match=f"{uri} failed .* set MLFLOW_TRACKING_USERNAME and"):
            MlflowTracker(tracking_target(uri, Storage(tmp_path), "closed", "closed-1")).open(None)
        server.shutdown()


def test_a_moved_storage_folder_is_noticed(target: Target) -> None:
    MlflowTracker(target).open(None)
    with pytest.raises(TrackingError, match="was moved"):
        MlflowTracker(Target(target.uri, target.sweep, "another id", "/elsewhere")).open(None)
