"""What a sweep costs besides training: 30 trivial trials here, and as Ray Tune runs them by default.

    python benchmarks/sweep_overhead.py [--trials 30] [--rounds 1]

Ours: the project's searcher, scheduler and reused actors, with everything that a trial does for its user
(study, checkpoint, pictures, a run in MLflow). Tune's defaults: a function trainable that reports once, random
search. Each side is a process of its own. Timed are the trials, from a Ray that is up until the last one has
ended, and all of it, with Ray's start and end, which are the same for both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class TrivialEpoch:
    """Nothing was learned, but it can be kept."""

    number = 1

    def __init__(self, value: float) -> None:
        self.metrics = {"l1": value}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "model.json").write_text("{}")

    def pictures(self) -> npt.NDArray[np.uint8]:
        return np.zeros((64, 64, 3), np.uint8)


class TrivialTrainer:
    """One epoch that takes no time."""

    def fit(self, config: Any, data: Path, resume: Path | None) -> Iterator[TrivialEpoch]:
        del data, resume
        yield TrivialEpoch(config.optimizer.lr_generator)

    def export(self, checkpoint: Path, out: Path) -> None:
        out.mkdir(parents=True)
        (out / "model.json").write_bytes((checkpoint / "model.json").read_bytes())


class Nobody:
    """Watches nothing."""

    def started(self, record: Any) -> None: ...
    def advanced(self, record: Any) -> None: ...
    def ended(self, record: Any) -> None: ...


def run_ours(num_trials: int, folder: Path) -> float:
    """A sweep as `wav2pix sweep run` does it; seconds of its trials."""
    from orchestration import sweep
    from orchestration.driver import Plan, run_sweep
    from orchestration.spec import SweepSpec

    took: list[float] = []
    tune = sweep._tune

    def timed(*arguments: Any) -> None:
        started = time.perf_counter()
        tune(*arguments)
        took.append(time.perf_counter() - started)

    sweep._tune = timed
    spec = SweepSpec.model_validate(
        {
            "name": "overhead",
            "data": folder,
            "preset": "small",
            "search": {"optimizer.lr_generator": {"type": "log_uniform", "low": 1e-5, "high": 1e-2}},
            "sampler": "random",
            "scheduler": "asha",
            "objective": {"metric": "l1", "direction": "minimize"},
            "trials": num_trials,
            "epochs": 1,
            "max_concurrent": len(os.sched_getaffinity(0)),
            "storage": folder / "runs",
        }
    )
    result = run_sweep(Plan(spec, "none", 0, 0, num_trials, 0), Nobody(), TrivialTrainer())
    assert all(record.state == "complete" for record in result.records), result.records
    assert len(result.records) == num_trials
    assert not result.problems, result.problems
    return took[0]


def run_default(num_trials: int, folder: Path) -> float:
    """The same trial as Tune's guide writes it; seconds of the trials."""
    import ray
    from ray import tune

    ray.init()

    def trial(config: dict[str, float]) -> None:
        tune.report({"l1": config["lr"]})

    tuner = tune.Tuner(
        trial,
        param_space={"lr": tune.loguniform(1e-5, 1e-2)},
        tune_config=tune.TuneConfig(num_samples=num_trials, metric="l1", mode="min"),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    started = time.perf_counter()
    results = tuner.fit()
    took = time.perf_counter() - started
    assert len(results) == num_trials
    assert not results.errors
    ray.shutdown()
    return took


def measure(which: str, trials: int) -> dict[str, float]:
    """Seconds of one side, in a new process."""
    here = Path(__file__)
    environment = os.environ | {"PYTHONPATH": str(here.parent), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, str(here), "--side", which, "--trials", str(trials)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        sys.exit(f"{which} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def run_side(which: str, trials: int) -> None:
    """Run one side and print its seconds: of the trials, from a Ray that is up, and of all of it."""
    # By its module's name, so that Ray's workers find it too.
    import sweep_overhead

    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        if which == "ours":
            # As it is in a storage folder with a sweep in it; in a process of its own, for the imports.
            make = "import sys; from orchestration.embedded import make_database; make_database(sys.argv[1])"
            subprocess.run([sys.executable, "-c", make, f"sqlite:///{name}/runs/mlflow.db"], check=True)
        started = time.perf_counter()
        trials_s = getattr(sweep_overhead, f"run_{which}")(trials, Path(name))
        print(json.dumps({"trials": trials_s, "whole": time.perf_counter() - started}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--side", choices=["ours", "default"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.trials)
        return
    seconds: dict[str, list[dict[str, float]]] = {"ours": [], "default": []}
    for number in range(arguments.rounds):
        for which in ("ours", "default"):
            seconds[which].append(measure(which, arguments.trials))
            last = seconds[which][-1]
            print(
                f"round {number + 1}: {which:<8} trials {last['trials']:5.1f} s, whole {last['whole']:5.1f} s"
            )
    print(f"{arguments.trials} trivial trials on {len(os.sched_getaffinity(0))} CPUs, medians:")
    for what, label in (("trials", "the trials"), ("whole", "with Ray's start and end")):
        ours, default = (
            statistics.median(one[what] for one in seconds[which]) for which in ("ours", "default")
        )
        bound = " (bound 0.33)" if what == "trials" else ""
        print(
            f"  {label}: ours {ours:.1f} s, Tune's defaults {default:.1f} s, ratio {ours / default:.2f}{bound}"
        )


if __name__ == "__main__":
    main()
