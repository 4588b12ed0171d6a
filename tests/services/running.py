"""Sweeps of trials that take no time, run by a driver of their own beside a test that breaks the services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import psutil
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from deploy.local import Services
from orchestration.driver import Result, read_sweep
from orchestration.folders import Storage, SweepFolder, checkpoint_key, trial_name
from orchestration.tracking.journal import Journal, Metrics
from orchestration.tracking.run_log import EPOCH

REPOSITORY = Path(__file__).parents[2]
# The driver of a sweep whose trainer is a stand-in; argv: the sweep file, seconds of an epoch.
DRIVER = """\
import sys
from pathlib import Path
from rich.console import Console
from orchestration import driver
from orchestration.load import load_spec
from orchestration.progress import Progress
from tests.orchestration.standin import StandInTrainer
plan = driver.make_plan(load_spec(Path(sys.argv[1])))
progress = Progress(plan.spec, plan.num_trials, [], Console(width=160))
result = driver.run_sweep(plan, progress, StandInTrainer(seconds=float(sys.argv[2])))
print(*result.problems, sep="\\n")
print("left", result.num_left)
"""
SPEC: dict[str, Any] = {
    "preset": "small",
    "search": {"batch_size": {"type": "integer", "low": 20, "high": 64}},
    "sampler": "random",
    "objective": {"metric": "l1", "direction": "minimize"},
    "trials": 3,
    "max_concurrent": 3,
    "resources": {"cpus": 0.5},
    "epochs": 10,
    "pictures_every": 1,
}


@dataclass
class Sweep:
    """A sweep on the services of a test.

    Attributes:
        file: the sweep file.
        env: with which its drivers run.
        epoch_s: how long an epoch takes.
    """

    file: Path
    folder: SweepFolder
    env: Mapping[str, str]
    epoch_s: float
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def make(
        cls, root: Path, data: Path, name: str, env: Mapping[str, str], epoch_s: float, **fields: Any
    ) -> Sweep:
        """Write its file."""
        storage = root / "runs"
        spec = SPEC | {"name": name, "data": str(data), "storage": str(storage)} | fields
        file = root / f"{name}.yaml"
        file.write_text(json.dumps(spec))
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        settings = {
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "1",
        }
        return cls(file, Storage(storage).sweep(name), {**clean, **settings, **env}, epoch_s)

    def start(self, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start a driver; its words go to ``driver-N.log`` beside the sweep file."""
        log = self.file.with_name(f"{self.file.stem}-{len(self.drivers)}.log").open("w")
        with log:
            driver = subprocess.Popen(
                [*prefix, sys.executable, "-c", DRIVER, str(self.file), str(self.epoch_s)],
                env=dict(self.env),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.file.parent,
                start_new_session=True,
            )
        self.drivers.append(driver)
        return driver

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> None:
        """Wait for a condition while the driver lives."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"no {what} within {timeout_s} s:\n{self.words()}"
            time.sleep(0.1)

    def finish(self, timeout_s: float = 180) -> str:
        """Wait for the driver's end; what it said."""
        try:
            self.drivers[-1].wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the driver has not ended:\n{self.words()}") from None
        assert self.drivers[-1].returncode == 0, self.words()
        return self.words()

    def words(self) -> str:
        """What the newest driver said."""
        return self.file.with_name(f"{self.file.stem}-{len(self.drivers) - 1}.log").read_text()

    def run(self, *command: str) -> str:
        """What a command of ours prints."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestration", *command],
            env=dict(self.env),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.file.parent,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def end(self) -> None:
        """End what a failed test left."""
        for driver in self.drivers:
            if driver.poll() is None:
                for process in [
                    *psutil.Process(driver.pid).children(recursive=True),
                    psutil.Process(driver.pid),
                ]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                driver.wait(30)

    @property
    def result(self) -> Result:
        return read_sweep(self.folder)

    def epochs(self, trial: int) -> int:
        """How many epochs a trial has finished."""
        records = (
            {record.number: record for record in self.result.records} if self.folder.record.is_file() else {}
        )
        return records[trial].progress.epochs if trial in records else 0

    def worker_of(self, trial: int) -> int:
        """The process that runs a trial, or ran it last: it holds the trial's lock."""
        return int(self.folder.trial_lock(trial).read_text().split()[0])

    def kill_all(self) -> None:
        """End the driver and all that it started, at once."""
        driver = psutil.Process(self.drivers[-1].pid)
        family = [*driver.children(recursive=True), driver]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=20)
        self.drivers[-1].wait(20)

    def runs(self) -> dict[str, Run]:
        """MLflow's runs by trial, "sweep" that of the sweep; each trial has one."""
        client = self.client
        experiment = client.get_experiment_by_name(self.folder.name)
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id])
        runs = {run.data.tags["wav2pix.trial"]: run for run in found}
        assert len(runs) == len(found), "a trial has more than one run"
        return runs

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.env["MLFLOW_TRACKING_URI"])

    def longest_stall_s(self, trials: int) -> float:
        """The longest that training stood still beyond an epoch, from when epochs were logged."""
        stalls = []
        for trial in range(trials):
            entries = Journal(self.folder.trial_journal(trial)).entries()
            times = [entry.time_ms for entry in entries if isinstance(entry, Metrics) and EPOCH in entry.values]
            stalls += [(later - earlier) / 1000 - self.epoch_s for earlier, later in pairwise(times)]
        return max(stalls)

    def check_whole(self, trials: int, epochs: int) -> None:
        """Every epoch of every trial is there, once, with its picture; all runs are finished."""
        runs, client = self.runs(), self.client
        assert sorted(runs) == [*map(trial_name, range(trials)), "sweep"]
        for trial in map(trial_name, range(trials)):
            run = runs[trial]
            assert run.data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
            for metric in ("l1", "objective", "epoch"):
                history = client.get_metric_history(run.info.run_id, metric)
                assert sorted(point.step for point in history) == list(range(1, epochs + 1)), (trial, metric)
            pictures = {file.path.split("+")[2] for file in client.list_artifacts(run.info.run_id, "images")}
            assert pictures == {str(epoch) for epoch in range(1, epochs + 1)}
            artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
            assert {"config.json", "environment", "images", "model"} <= artifacts
        assert {run.info.status for run in runs.values()} == {"FINISHED"}


def keys_in_bucket(services: Services, sweep: Sweep) -> list[str]:
    """Keys of artifacts of a sweep in the bucket, by their manifests."""
    client = boto3.client(
        "s3",
        endpoint_url=services.env["AWS_ENDPOINT_URL"],
        aws_access_key_id=services.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=services.env["AWS_SECRET_ACCESS_KEY"],
        region_name=services.env["AWS_DEFAULT_REGION"],
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="wav2pix", Prefix="sweeps/")
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    here = [key for key in keys if key.startswith(f"sweeps/{sweep.folder.name}-")]
    return sorted(
        key.split("/", 2)[2].removesuffix("/manifest.json") for key in here if key.endswith("manifest.json")
    )


def check_checkpoints(services: Services, sweep: Sweep, epochs: int) -> None:
    """The newest two of each trial and its best are in the bucket, and no others."""
    wanted = {
        checkpoint_key(record.number, epoch)
        for record in sweep.result.records
        for epoch in (epochs - 1, epochs, record.progress.epoch)
    }
    assert keys_in_bucket(services, sweep) == sorted(wanted)
