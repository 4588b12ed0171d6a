"""The actor that runs trials: what it raises, what its log says, and what it does on a node that is to end."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standin import StandInTrainer

from orchestration import trial as trial_module
from orchestration.errors import TrialFailed, TrialLost, TrialTurnedAway
from orchestration.folders import SweepFolder
from orchestration.lock import hold
from orchestration.provenance import Code
from orchestration.runs import MemoryTracker, Target
from orchestration.spec import SweepSpec
from orchestration.trial import TrialActor
from orchestration.work import Context, Work

SPEC: dict[str, Any] = {
    "name": "s",
    "preset": "small",
    "search": {"batch_size": {"type": "integer", "low": 2, "high": 64}},
    "objective": {"metric": "l1", "direction": "minimize"},
    "trials": 1,
    "epochs": 3,
    "resources": {"gpus": 2},
}


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    tracker = MemoryTracker()
    monkeypatch.setattr(trial_module, "open_tracker", lambda *_: tracker)
    monkeypatch.setattr(trial_module, "LEAVING_PAUSE_S", 0.0)
    monkeypatch.setattr(trial_module, "LOCK_WAIT_S", 0.2)
    return tracker


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "scratch").mkdir()
    work = Work(
        SweepSpec.model_validate(SPEC | {"data": tmp_path}), tmp_path, "hash", Code(), trainer=StandInTrainer()
    )
    return Context(work, SweepFolder(tmp_path / "s"), Target("memory", "s", "id"), tmp_path / "scratch")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the node of a worker job."""
    folder = tmp_path / "node"
    folder.mkdir()
    monkeypatch.setenv("WAV2PIX_NODE", str(folder))
    yield folder


def make_actor(context: Context, number: int = 0, batch_size: int = 8) -> TrialActor:
    actor = object.__new__(TrialActor)
    actor.setup({"number": number, "params": {"batch_size": batch_size}}, context)
    return actor


def log_of(context: Context, number: int = 0) -> list[str]:
    lines = context.folder.trial_log(number).read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines if line[0].isdigit())
    return [line.split(" ", 1)[1] if line[0].isdigit() else line for line in lines]


def test_a_log_tells_where_a_trial_runs_what_each_epoch_brought_and_how_it_ended(
    context: Context, tracker: MemoryTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    actor = make_actor(context)
    while not actor.step()["done"]:
        pass
    place, start, *epochs, end = log_of(context)
    assert place == f"on host {socket.gethostname()}, process {os.getpid()}, job 41, CUDA_VISIBLE_DEVICES=1,0"
    assert start == "starts"
    assert [re.sub(r"[\d.]+ s$", "- s", line) for line in epochs] == [
        "epoch 1 of 3: l1 1.08, loss_l1 1, - s",
        "epoch 2 of 3: l1 0.58, loss_l1 1, - s",
        "epoch 3 of 3: l1 0.4133, loss_l1 1, - s",
    ]
    assert end == "after epoch 3: complete"


def test_a_log_goes_on_when_the_trial_does(context: Context, tracker: MemoryTracker) -> None:
    stopped = make_actor(context)
    stopped.step()
    stopped.cleanup()
    resumed = make_actor(context)
    resumed.step()
    resumed.cleanup()
    lines = log_of(context)
    assert "after epoch 1: stopped, by the study or with the sweep" in lines
    assert "goes on after epoch 1" in lines
    assert [line[:12] for line in lines if line.startswith("epoch")] == ["epoch 1 of 3", "epoch 2 of 3"]


def test_a_failed_trial_says_why_to_the_driver_and_shows_in_its_log_where(
    context: Context, tracker: MemoryTracker
) -> None:
    actor = make_actor(context, batch_size=14)
    actor.step()
    with pytest.raises(TrialFailed, match=r"^ValueError: the disk is full$"):
        actor.step()
    lines = log_of(context)
    assert "after epoch 1: failed" in lines
    assert "ValueError: the disk is full" in lines
    assert any("_bring_disaster" in line for line in lines)
    assert b"_bring_disaster" in tracker.by_trial[0].artifacts["error.txt"]


def test_a_trial_leaves_a_node_that_is_to_end_between_two_epochs(
    context: Context, tracker: MemoryTracker, node: Path
) -> None:
    actor = make_actor(context)
    actor.step()
    (node / "leaving").touch()
    with pytest.raises(TrialLost) as raised:
        actor.step()
    assert not isinstance(raised.value, TrialTurnedAway), "it was there"
    assert log_of(context)[-1] == "after epoch 1: leaves: its node is about to end"
    assert list(node.glob("trial-*")) == []
    (node / "leaving").unlink()
    assert make_actor(context).step()["done"] is False
    assert "goes on after epoch 1" in log_of(context)


def test_no_trial_begins_on_a_node_that_is_to_end(context: Context, tracker: MemoryTracker, node: Path) -> None:
    used = make_actor(context)
    while not used.step()["done"]:
        pass
    (node / "leaving").touch()
    assert used.reset_config({"number": 1, "params": {"batch_size": 9}}), "the process may be given another one"
    with pytest.raises(TrialTurnedAway):
        used.step()
    assert not context.folder.trial_log(1).exists()


def test_a_trial_keeps_its_temporary_files_on_the_disk_of_its_node(
    context: Context, tracker: MemoryTracker, node: Path
) -> None:
    actor = make_actor(context)
    actor.step()
    assert len(list(node.glob("trial-*"))) == 1
    assert list(context.scratch.iterdir()) == []
    actor.cleanup()
    assert list(node.iterdir()) == []


def test_a_trial_that_somebody_still_works_on_is_lost_and_not_failed(
    context: Context, tracker: MemoryTracker
) -> None:
    actor = make_actor(context)
    with (
        hold(context.folder.trial_lock(0), "the trial"),
        pytest.raises(TrialLost, match="trial 0000 is in use"),
    ):
        actor.step()
    assert actor.step()["done"] is False


def test_what_a_trial_took_is_known_by_job_and_as_gpu_seconds(
    context: Context, tracker: MemoryTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.records import Report

    reports = []
    for job, epochs in (("41", 1), ("42", 2)):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        actor = make_actor(context)
        reports += [Report.parse(actor.step()["report"]) for _ in range(epochs)]
        actor.cleanup()
    progress = reports[-1].progress
    assert set(progress.seconds_by_job) == {"41", "42"}
    assert progress.seconds == sum(progress.seconds_by_job.values()) > 0
    run = tracker.by_trial[0]
    assert [epoch for epoch, _ in run.metrics] == [1, 2, 3]
    assert run.metrics[-1][1]["gpu_seconds"] == 2 * progress.seconds
    assert run.tags["wav2pix.slurm_jobs"] == "41, 42"
    assert run.tags["wav2pix.hosts"] == socket.gethostname()
