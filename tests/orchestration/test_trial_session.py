"""A trial in one process: what it keeps, what it logs, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from standin import StandInEpoch, StandInTrainer

from orchestration.provenance import Code
from orchestration.records import Report
from orchestration.runs import MemoryRun
from orchestration.session import TrialSession
from orchestration.spec import SweepSpec
from orchestration.storage import MemoryStore
from orchestration.tracking.journal import Journal
from orchestration.tracking.run_log import RunLog
from orchestration.tracking.sender import send
from orchestration.work import Work
from wav2pix.config import TrainConfig


class UpAndDown(StandInTrainer):
    """Best in epoch 3."""

    def fit(self, config: TrainConfig, data: Path, resume: Path | None) -> Any:
        for epoch in super().fit(config, data, resume):
            yield StandInEpoch(epoch.number, {"l1": 0.1 + abs(epoch.number - 3) / 10})


def work(tmp_path: Path, trainer: StandInTrainer | None = None, **changes: Any) -> Work:
    tree = {
        "name": "s",
        "data": tmp_path,
        "preset": "small",
        "search": {"batch_size": {"type": "integer", "low": 2, "high": 64}},
        "objective": {"metric": "l1", "direction": "minimize"},
        "trials": 1,
        "epochs": 6,
    }
    return Work(
        SweepSpec.model_validate(tree | changes),
        tmp_path,
        "hash",
        Code("abc", "diff"),
        trainer=trainer or UpAndDown(),
    )


class Log:
    """What a trial logs to, and what comes of it."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "tracking")

    def open(self) -> RunLog:
        # Another process has another journal of the same folder.
        return RunLog(Journal(self.journal.folder))

    @property
    def run(self) -> MemoryRun:
        """As a store has it once all is sent."""
        run = MemoryRun("run")
        send(self.journal, lambda _: run)
        return run


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def run(session: TrialSession, epochs: int = 99) -> list[Report]:
    reports: list[Report] = []
    while len(reports) < epochs and not (reports and reports[-1].is_last):
        reports.append(Report.parse(session.step().dump()))
    session.close()
    return reports


def test_a_trial_counts_by_its_best_epoch_and_keeps_it_beside_the_newest(tmp_path: Path, log: Log) -> None:
    store = MemoryStore()
    reports = run(TrialSession(work(tmp_path), 7, {"batch_size": 8}, store, log.open()))
    assert len(reports) == 6
    assert (reports[-1].progress.epoch, reports[-1].progress.values) == (3, (0.1,))
    assert store.list("trials/0007/checkpoints") == [
        f"trials/0007/checkpoints/epoch-{epoch:04d}" for epoch in (3, 5, 6)
    ]
    run_of_trial = log.run
    assert json.loads(run_of_trial.artifacts["model/model.json"])["epoch"] == 3
    assert run_of_trial.artifacts["code.diff"] == b"diff"
    assert run_of_trial.params["batch_size"] == "8"
    assert run_of_trial.tags["wav2pix.data_hash"] == "hash"


def test_a_trial_goes_on_after_its_newest_checkpoint_and_logs_every_epoch_once(
    tmp_path: Path, log: Log
) -> None:
    store = MemoryStore()
    run(TrialSession(work(tmp_path), 7, {"batch_size": 8}, store, log.open()), epochs=4)
    # What was trained and not logged before the process died is logged afterwards.
    path = log.journal.folder / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:20])
    assert '"step":4' in lines[-1]
    reports = run(TrialSession(work(tmp_path), 7, {"batch_size": 8}, store, log.open()))
    assert [report.progress.epochs for report in reports] == [5, 6]
    assert sorted(reports[0].history) == [1, 2, 3, 4, 5], "the driver may not have heard of the earlier ones"
    assert [epoch for epoch, _ in log.run.metrics] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].progress.epoch == 3


def test_a_trial_that_was_done_says_so_without_training(tmp_path: Path, log: Log) -> None:
    store = MemoryStore()
    before = run(TrialSession(work(tmp_path), 7, {"batch_size": 8}, store, log.open()))[-1]
    again = run(TrialSession(work(tmp_path), 7, {"batch_size": 8}, store, log.open()))
    assert [report.is_last for report in again] == [True]
    assert again[0].progress == before.progress


def test_pictures_are_logged_at_a_few_epochs(tmp_path: Path, log: Log) -> None:
    run(TrialSession(work(tmp_path, pictures_every=4), 7, {"batch_size": 8}, MemoryStore(), log.open()))
    pictures = sorted(name for name in log.run.artifacts if name.startswith("images/"))
    assert pictures == [f"images/faces-{epoch}.png" for epoch in (1, 5, 6)]


def test_the_picture_of_an_epoch_is_logged_though_its_process_died_before_that(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    store, shared = MemoryStore(), work(tmp_path, pictures_every=1)
    session = TrialSession(shared, 7, {"batch_size": 8}, store, log.open())
    session.step()
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(RunLog, "picture", die)
        session.step()
    reports = run(TrialSession(shared, 7, {"batch_size": 8}, store, log.open()))
    assert reports[0].progress.epochs == 3, "the second epoch is kept and not trained again"
    pictures = sorted(name for name in log.run.artifacts if name.startswith("images/"))
    assert pictures == [f"images/faces-{epoch}.png" for epoch in range(1, 7)]


def test_with_several_objectives_a_trial_counts_by_its_last_epoch(tmp_path: Path, log: Log) -> None:
    goals = [{"metric": "l1", "direction": "minimize"}, {"metric": "loss_l1", "direction": "maximize"}]
    two = work(tmp_path, StandInTrainer(), objective=None, objectives=goals)
    last = run(TrialSession(two, 7, {"batch_size": 8}, MemoryStore(), log.open()))[-1]
    assert (last.progress.epoch, len(last.progress.values)) == (6, 2)


def test_a_trial_has_as_many_threads_as_cpus_unless_the_file_says_otherwise(tmp_path: Path, log: Log) -> None:
    TrialSession(work(tmp_path, resources={"cpus": 2}), 1, {}, MemoryStore(), log.open()).close()
    assert log.run.params["runtime.num_threads"] == "2"
    other = Log(tmp_path / "other")
    fixed = work(tmp_path, resources={"cpus": 2}, settings={"runtime.num_threads": 5})
    TrialSession(fixed, 2, {}, MemoryStore(), other.open()).close()
    assert other.run.params["runtime.num_threads"] == "5"
