"""How long the MLflow UI takes to show a sweep of many trials, on real services, in headless Chromium.

    python -m benchmarks.ui [--trials 2000] [--rounds 5]

Each trial is a run below that of the sweep, with 40 params and 25 metrics, as trials have them. A round opens
the page of the sweep's runs in a browser that was never there, and waits until trials are to be seen.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow.tracking import MlflowClient

from deploy.local import Services
from orchestration.runs import Target
from orchestration.tracking.journal import Metrics, Params
from orchestration.tracking.mlflow_store import MlflowTracker
from tests.services.browser import Browser, install

NAME = "many"
SENDERS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    install()
    # Not in a folder that PostgreSQL's user cannot enter.
    with (
        tempfile.TemporaryDirectory(prefix="wav2pix-services-") as folder,
        Services.start(Path(folder)) as services,
    ):
        started = time.monotonic()
        make_runs(services.mlflow.url, arguments.trials)
        print(f"{arguments.trials} runs made in {time.monotonic() - started:.0f} s")
        taken = [opened(services.mlflow.url) for _ in range(arguments.rounds)]
    print(f"until trials are to be seen: median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s")


def make_runs(url: str, num_trials: int) -> None:
    """The run of a sweep, and those of its trials."""
    tracker = MlflowTracker(Target(url, NAME, "id"))
    tracker.open(None)
    draw = random.Random(0)

    def make(number: int) -> None:
        params = {f"part.setting_{index}": str(draw.random()) for index in range(40)}
        values = {f"metric_{index}": draw.random() for index in range(25)}
        now_ms = int(time.time() * 1000)
        run = tracker.open(number)
        run.send([Params(values=params), Metrics(step=1, time_ms=now_ms, values=values)], Path())
        tracker.close(number, "complete")

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(make, range(num_trials)))
    tracker.close(None, "complete")


def opened(url: str) -> float:
    """Seconds from asking for the page to seeing trials on it."""
    experiment = MlflowClient(url).get_experiment_by_name(NAME)
    with Browser.start() as browser:
        started = time.monotonic()
        browser.open(f"{url}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning")
        browser.find("//*[@role='row']//a[contains(@href, '/runs/')]")
        return time.monotonic() - started


if __name__ == "__main__":
    main()
