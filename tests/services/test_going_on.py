"""Sweeps on real services after a server, a worker or a driver died: the same runs, all that was logged."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from deploy.local import Services
from tests.services.running import Sweep, check_checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]


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


def fails_to_start(sweep: Sweep) -> str:
    """What its driver says."""
    driver = sweep.start()
    assert driver.wait(120) == 1
    assert not list(sweep.folder.root.glob("trials/*/checkpoints/*"))
    return sweep.words().splitlines()[-1]


def test_a_sweep_that_cannot_reach_its_server_at_the_start_says_so(services: Services, make: Any) -> None:
    services.mlflow.kill()
    try:
        words = fails_to_start(make("nowhere", 1.0, trials=1))
    finally:
        services.mlflow.start()
    assert "MLFLOW_TRACKING_URI" in words
    assert services.env["MLFLOW_TRACKING_URI"] in words


def test_a_sweep_whose_bucket_is_not_there_says_so(make: Any) -> None:
    assert "no bucket 'nobody-made-it'" in fails_to_start(
        make("bucketless", 1.0, trials=1, artifacts={"uri": "s3://nobody-made-it/sweeps"})
    )
