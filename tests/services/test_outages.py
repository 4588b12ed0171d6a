"""Sweeps on real services that go away: nothing is lost, nothing is there twice, nobody waits."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from deploy.local import Services
from tests.services.running import check_checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

OUTAGE_S = 60.0
SHORT_OUTAGE_S = 15.0


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
