"""The benchmark of tracking runs, and says all that it is there to say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import Services

REPOSITORY = Path(__file__).parents[2]
TINY = ["--trials", "3", "--processes", "2", "--epochs", "20"]
TINY += ["--rounds", "1", "--training-epochs", "2", "--seconds", "4"]
SERVED = {"the MLflow server", "PostgreSQL", "the S3 server", "the trials", "others"}


@pytest.mark.slow
def test_the_rate_its_bottleneck_and_the_slow_down_of_training_are_measured(services: Services) -> None:
    del services  # where there are none, the benchmark cannot run either
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tracking", *TINY],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with_pictures, without, training = done.stdout.strip().split("\n\n")
    assert "a picture every 20" in with_pictures
    assert "no pictures" in without
    for rate in (with_pictures, without):
        results = float(_found(r"^results a second +(\d+)", rate))
        metrics = float(_found(r"^metrics a second +(\d+)", rate))
        assert results > 0
        assert metrics == pytest.approx(25 * results, rel=0.5)
        assert 0 < float(_found(r"^a call of log +([\d.]+) ms median", rate)) < 1000
        shares = dict(re.findall(r"^  (.+?) +[\d.]+ +(\d+)%$", rate, re.MULTILINE))
        assert {*shares} == SERVED
        assert int(shares["the MLflow server"]) > 0
        assert _found(r"^the bottleneck: (.+)", rate)
    there, killed = training.split("The server is killed")
    for half in (there, killed):
        ratios = dict(re.findall(r"^  (.+?) +[\d.]+ +[\d.]+  ratio ([\d.]+)", half, re.MULTILINE))
        assert {*ratios} == {"CPU of its thread", "CPU of its process", "wall"}
        assert all(0.1 < float(ratio) < 10 for ratio in ratios.values())
        calls = re.findall(r"^  (\w+) +[\d.]+ ms median", half, re.MULTILINE)
        assert calls == ["describe", "log", "picture"]
        assert 0 < float(_found(r"^  all calls +([\d.]+)%", half)) < 50


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, (pattern, text)
    return match[1]
