"""The benchmark of the training step runs, and compares like with like."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from wav2pix.config import make_config
from wav2pix.models import Wav2Pix, build_discriminator

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "train_step.py"), "--device", "cpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_case_prints_the_ratio_of_cpu_seconds_and_the_number_of_threads() -> None:
    finished = _run("--case", "64x2", "--rounds", "1")
    assert finished.returncode == 0, finished.stderr
    assert "1 CPU thread(s)" in finished.stdout
    assert re.search(
        r"64 px, batch 2: literal [\d.]+, ours [\d.]+ CPU seconds a step, ratio [\d.]+", finished.stdout
    )


def test_a_case_that_is_none_is_explained() -> None:
    finished = _run("--case", "65x2")
    assert finished.returncode == 2
    assert "'65x2': give 64 or 128" in finished.stderr


@pytest.mark.parametrize("size", [64, 128])
def test_both_steps_train_networks_of_the_same_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from literal_step import Discriminator, Generator

    config = make_config("paper", {"image_size": size})
    ours = Wav2Pix(config, tuple("abcdefghij")), build_discriminator(config)
    literal = Generator(size, 10), Discriminator(size)
    for mine, theirs in zip(ours, literal, strict=True):
        counts = [sum(value.numel() for value in network.parameters()) for network in (mine, theirs)]
        assert counts[0] == counts[1]
