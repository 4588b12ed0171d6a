"""How long `wav2pix sweep compare`, `best` and `status` take on a sweep of many trials.

    python -m benchmarks.compare [--trials 2000]

The sweep is a folder as its driver leaves it, made up here; every round starts the command anew, as people do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from orchestration.folders import SweepFolder
from orchestration.identity import claim
from orchestration.records import Progress, TrialRecord
from orchestration.snapshot import Snapshot
from orchestration.spec import SweepSpec
from wav2pix.config import EvaluationConfig
from wav2pix.evaluation import measure_names

NAME = "many"
DEADLINE_S = 120.0
COMMANDS = (
    ("compare",),
    ("compare", "--json"),
    ("compare", "--where", "metrics.l1 < 0.2 and params.batch_size = 16"),
    ("best",),
    ("status",),
)


def make_sweep(storage: Path, num_trials: int) -> None:
    """A finished sweep of this many trials of ten settings each, in a storage folder."""
    spec = SweepSpec.model_validate(
        {
            "name": NAME,
            "data": "data",
            "preset": "small",
            "search": {
                "optimizer.lr_generator": {"type": "log_uniform", "low": 1e-5, "high": 1e-2},
                "optimizer.lr_discriminator": {"type": "log_uniform", "low": 1e-5, "high": 1e-2},
                "loss.identity": {"type": "uniform", "low": 0.5, "high": 4.0},
                "loss.adversarial": {"type": "categorical", "choices": ["hinge", "least_squares"]},
                "batch_size": {"type": "categorical", "choices": [8, 16, 32, 64]},
            },
            "objective": {"metric": "l1", "direction": "minimize"},
            "trials": num_trials,
            "epochs": 50,
            "storage": str(storage),
        }
    )
    folder = SweepFolder(storage / NAME)
    folder.make()
    claim(folder, spec, "0" * 64, None)
    dice = random.Random(0)
    Snapshot([_trial(number, dice) for number in range(num_trials)], 0, time.time()).save(folder.snapshot)


def _trial(number: int, dice: random.Random) -> TrialRecord:
    losses = (f"loss_{index}" for index in range(12))
    metrics = {name: dice.random() for name in (*measure_names(EvaluationConfig()), *losses)}
    params = {
        "optimizer.lr_generator": 10 ** dice.uniform(-5, -2),
        "optimizer.lr_discriminator": 10 ** dice.uniform(-5, -2),
        "loss.identity": dice.uniform(0.5, 4),
        "loss.adversarial": dice.choice(["hinge", "least_squares"]),
        "batch_size": dice.choice([8, 16, 32, 64]),
    }
    state = dice.choices(["complete", "pruned", "failed"], [30, 65, 5])[0]
    reason = "RuntimeError: a made-up failure" if state == "failed" else ""
    progress = Progress(50, 40, (metrics["l1"],), metrics, {"": 120.0})
    return TrialRecord(number, state, params, progress, reason)  # type: ignore[arg-type]


def seconds(storage: Path, arguments: tuple[str, ...]) -> float:
    """That a command takes, from Python's start to its end."""
    command, *options = arguments
    whole = [sys.executable, "-m", "orchestration", "sweep", command, NAME, "--storage", str(storage), *options]
    started = time.perf_counter()
    subprocess.run(
        whole, check=True, timeout=DEADLINE_S, capture_output=True, env=os.environ | {"COLUMNS": "160"}
    )
    return time.perf_counter() - started


def main() -> None:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wav2pix-compare-") as name:
        make_sweep(Path(name), arguments.trials)
        seconds(Path(name), COMMANDS[0])  # reads the disk's files into memory
        taken = {
            " ".join(command): [seconds(Path(name), command) for _ in range(arguments.rounds)]
            for command in COMMANDS
        }
    if arguments.json:
        print(json.dumps({"trials": arguments.trials, "seconds": taken}, indent=1))
        return
    print(f"{arguments.trials} trials, {arguments.rounds} rounds; median and worst, in seconds")
    for command, values in taken.items():
        print(f"{command:64} {statistics.median(values):6.2f} {max(values):6.2f}")


if __name__ == "__main__":
    main()
