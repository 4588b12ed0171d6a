"""`best`, `compare` and `export` as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compare import NAME, make_sweep
from tests.orchestration.finished import finished_sweep


def wav2pix(*arguments: str | Path, status: int = 0) -> str:
    """Standard output of a command, or its standard error where it is to fail."""
    command = [sys.executable, "-m", "orchestration", "sweep", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if status else done.stdout


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps: ``tiny`` of one objective, ``two`` of two."""
    storage = tmp_path_factory.mktemp("best") / "runs"
    finished_sweep(storage, [[0.75], [0.25], [0.5]], tracked=False)
    values = [[0.1, 0.3], [0.3, 0.1], [0.2, 0.2], [0.3, 0.3]]
    finished_sweep(storage, values, name="two", metrics=["l1", "kid"], tracked=False)
    return storage


def test_best_says_why_and_where_it_is_and_what_made_it(storage: Path) -> None:
    checkpoint = storage / "tiny" / "trials" / "0001" / "checkpoints" / "epoch-0002"
    printed = wav2pix("best", "tiny", "--storage", storage)
    assert "trial 1: its l1 of 0.25 in epoch 2 is the lowest, by 0.25 before trial 2." in printed
    assert str(checkpoint) in printed and checkpoint.is_dir()
    assert "training 0, sampler 0" in printed
    answer = json.loads(wav2pix("best", "tiny", "--storage", storage, "--json"))
    (found,) = answer["best"]
    assert (found["trial"], found["values"], found["epoch"]) == (1, {"l1": 0.25}, 2)
    assert (found["checkpoint"], found["seed"], found["sampler_seed"]) == (str(checkpoint), 0, 0)
    assert answer["next"] == {"trial": 2, "margin": 0.25}
    assert answer["objectives"] == [{"metric": "l1", "direction": "minimize"}]


def test_best_of_several_objectives_is_all_that_none_beats(storage: Path) -> None:
    answer = json.loads(wav2pix("best", "two", "--storage", storage, "--json"))
    assert [found["trial"] for found in answer["best"]] == [0, 2, 1]
    assert answer["next"] is None


def test_conditions_filter_best_and_compare_and_export(storage: Path, tmp_path: Path) -> None:
    where = ["--storage", storage, "--where", "metrics.l1 > 0.3 and params.optimizer.lr_generator < 1"]
    answer = json.loads(wav2pix("best", "tiny", *where, "--json"))
    assert [found["trial"] for found in answer["best"]] == [2]
    rows = json.loads(wav2pix("compare", "tiny", *where, "--json"))
    assert [row["trial"] for row in rows] == [2, 0]
    exported = wav2pix("export", "tiny", *where, "--out", tmp_path / "out", "--no-register", "--json")
    assert json.loads(exported) == {"out": str(tmp_path / "out"), "trial": 2, "epoch": 2, "registered": None}
    nothing = wav2pix("best", "tiny", "--storage", storage, "--where", "metrics.l1 > 3")
    assert nothing == "Best: no finished trial fulfils metrics.l1 > 3.\n"


@pytest.mark.parametrize("command", ["best", "compare"])
def test_a_mistake_in_a_condition_is_one_line(storage: Path, command: str) -> None:
    error = wav2pix(command, "tiny", "--storage", storage, "--where", "metrics.l2 < 1", status=1)
    assert error == "--where \"metrics.l2 < 1\", character 1: no metric 'l2'; there are l1\n"


def test_compare_shows_two_thousand_trials_within_three_seconds(tmp_path: Path) -> None:
    """Of computing: other tests may share the machine. `benchmarks/compare.py` measures what people wait."""
    make_sweep(tmp_path, 2000)
    before = os.times()
    printed = wav2pix("compare", NAME, "--storage", tmp_path)
    after = os.times()
    assert sum(line.startswith("│ ") and " of 50 " in line for line in printed.splitlines()) == 2000
    computed = after.children_user + after.children_system - before.children_user - before.children_system
    assert computed < 3
