"""The benchmark that splits a worker's start into parts runs, and its parts are all there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks.worker_start import PARTS
from tests.cluster.testbed import Testbed, clean_environment
from tests.cluster.waiting import run

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_start_of_a_worker_is_measured_in_parts_beside_the_least_that_it_takes(testbed: Testbed) -> None:
    del testbed  # where there is none, the benchmark cannot run either
    command = [sys.executable, "-m", "benchmarks.worker_start", "--rounds", "1"]
    output = run(["env", "-C", REPOSITORY, *command], env=clean_environment(), timeout_s=300)
    seconds = dict(re.findall(r"^(.+?)\s+([\d.]+) s$", output, re.MULTILINE))
    assert [*seconds] == [*PARTS, "bare: ray start", "bare: one step"]
    assert all(0 < float(value) < 120 for value in seconds.values())
    assert re.search(r"median \d\.\d\d$", output.strip())
