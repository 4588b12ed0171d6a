"""Sweeps on real services that go away: nothing is lost, nothing is there twice, nobody waits."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import Services
from tests.services.sweeps import Sweep, check_checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

OUTAGE_S = 60.0
SHORT_OUTAGE_S = 15.0


@pytest.fixture
def make(services: Services, tmp_path: Path, tiny_data: Path) -> Iterator[Any]:
    """Makes sweeps on the services; in the end none of them runs."""
    made: list[Sweep] = []

    def new(name: str, epoch_s: float, **fields: Any) -> Sweep:
        made.append(Sweep.make(tmp_path, tiny_data, name, services.env, epoch_s, **fields))
        return made[-1]

    yield new
    for sweep in made:
        sweep.end()


def test_nothing_is_lost_while_mlflow_postgresql_and_s3_go_away_in_the_middle(
    services: Services, make: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, epochs = 3, 85
    sweep = make("outages", 2.0, trials=trials, epochs=epochs)
    sweep.start()
    sweep.wait(lambda: all(sweep.epochs(trial) >= 2 for trial in range(trials)), 120, "two epochs of each")
    services.mlflow.kill()
    services.s3.revoke()
    time.sleep(OUTAGE_S)
    services.s3.restore()
    services.mlflow.start()
    assert min(sweep.epochs(trial) for trial in range(trials)) > OUTAGE_S / 2.0 / 2, "training waited"
    services.s3.kill()
    services.postgres.restart()
    time.sleep(OUTAGE_S)
    services.s3.start()
    services.s3.answer_503()
    time.sleep(SHORT_OUTAGE_S)
    services.s3.answer_normally()
    assert any(sweep.epochs(trial) < epochs for trial in range(trials)), "all was over before the outages were"
    sweep.finish()
    sweep.check_whole(trials, epochs)
    check_checkpoints(services, sweep, epochs)
    with capsys.disabled():
        sys.stdout.write(f"\nlongest stall of training: {sweep.longest_stall_s(trials):.2f} s\n")


def test_a_server_that_is_away_at_the_end_gets_all_from_sync(services: Services, make: Any) -> None:
    sweep = make("late", 0.5, trials=2, epochs=6)
    sweep.start()
    sweep.wait(lambda: sweep.epochs(0) and sweep.epochs(1), 120, "an epoch of each")
    services.mlflow.kill()
    services.s3.kill()
    try:
        words = sweep.finish(240)
    finally:
        services.s3.start()
        services.mlflow.start()
    assert "left 0" in words
    assert "wav2pix sweep sync late" in words
    where = ("--storage", str(sweep.folder.root.parent))
    sweep.run("sweep", "sync", "late", *where)
    sweep.check_whole(2, 6)
    check_checkpoints(services, sweep, 6)
    assert "has everything" in sweep.run("sweep", "sync", "late", *where)


def test_a_killed_worker_and_a_killed_driver_go_on_in_the_same_runs(services: Services, make: Any) -> None:
    trials, epochs = 3, 14
    sweep = make("killed", 1.0, trials=trials, epochs=epochs, max_failures=1)
    sweep.start()
    sweep.wait(lambda: all(sweep.epochs(trial) >= 2 for trial in range(trials)), 120, "two epochs of each")
    before = {trial: run.info.run_id for trial, run in sweep.runs().items()}
    worker = sweep.worker_of(1)
    os.kill(worker, signal.SIGKILL)
    sweep.wait(lambda: sweep.worker_of(1) != worker, 60, "another worker")
    sweep.wait(lambda: sweep.epochs(1) >= 5, 60, "more epochs")
    sweep.kill_all()
    assert "RUNNING" in {run.info.status for run in sweep.runs().values()}
    # Whoever looks next puts it right, also if nobody goes on with it.
    sweep.run("sweep", "status", "killed", "--storage", str(sweep.folder.root.parent))
    assert "RUNNING" not in {run.info.status for run in sweep.runs().values()}
    sweep.start()
    sweep.finish()
    sweep.check_whole(trials, epochs)
    assert {trial: run.info.run_id for trial, run in sweep.runs().items()} == before


def test_a_sweep_that_cannot_reach_its_server_at_the_start_says_so_and_trains_nothing(
    services: Services, make: Any
) -> None:
    services.mlflow.kill()
    try:
        sweep = make("nowhere", 0.1, trials=1)
        driver = sweep.start()
        assert driver.wait(120) == 1
    finally:
        services.mlflow.start()
    assert "MLFLOW_TRACKING_URI" in sweep.words()
    assert services.env["MLFLOW_TRACKING_URI"] in sweep.words()
