"""Sweeps for the tests of this folder: of trials that take no time, on a real SLURM cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration import driver, submission
from orchestration.driver import Plan, Result
from orchestration.load import load_spec
from orchestration.submission import Submitted
from slurm.folder import Cluster, ClusterFolder, Head
from slurm.job import Job
from slurm.jobs import open_polled_jobs
from slurm.profile import SlurmProfile
from tests.cluster.waiting import wait_for
from tests.orchestration.standin import StandInTrainer

REPOSITORY = Path(__file__).parents[2]
PROFILE: dict[str, Any] = {
    "scheduler": "slurm",
    "partition": "gpu",
    "worker": {"cpus": 1, "gpus": 1, "memory_gb": 1},
    "workers": {"max": 6},
    "controller": {"partition": "cpu", "memory_gb": 1},
    "walltime_min": 30,
    "idle_timeout_s": 10,
    "drain_s": 30,
    # That of the testbed.
    "kill_wait_s": 10,
    "poll_s": 2,
    "head_wait_s": 60,
    # The trials' trainer is a module of the tests.
    "environment": {"PYTHONPATH": str(REPOSITORY)},
}


def profile(**changes: Any) -> SlurmProfile:
    """A worker has one GPU of the testbed."""
    return SlurmProfile.model_validate(PROFILE | changes)


@dataclass
class Sweep:
    """A sweep on the testbed."""

    plan: Plan
    profile: SlurmProfile
    trainer: StandInTrainer

    @classmethod
    def make(
        cls,
        folder: Path,
        data: Path,
        *,
        name: str,
        trainer: StandInTrainer,
        profile: SlurmProfile,
        **fields: Any,
    ) -> Sweep:
        """Write its file; every trial takes a GPU unless ``fields`` say otherwise."""
        spec: dict[str, Any] = {
            "name": name,
            "data": str(data),
            "storage": str(folder / "runs"),
            "preset": "small",
            "search": {"batch_size": {"type": "integer", "low": 20, "high": 60}},
            "sampler": "random",
            "objective": {"metric": "l1", "direction": "minimize"},
            "resources": {"cpus": 1, "gpus": 1},
        }
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(spec | fields))
        return cls(driver.make_plan(load_spec(path)), profile, trainer)

    def submit(self) -> Submitted:
        """As ``wav2pix sweep submit --code live`` does."""
        return submission.submit(self.plan, self.profile, "live", self.trainer)

    @property
    def folder(self) -> ClusterFolder:
        return ClusterFolder(self.plan.folder.cluster)

    @property
    def result(self) -> Result:
        return driver.read_sweep(self.plan.folder)

    @property
    def states(self) -> Mapping[int, str]:
        """The state of every trial that was started."""
        return {record.number: record.state for record in self.result.records}

    @property
    def epochs(self) -> Mapping[int, int]:
        """Finished epochs of every trial that was started."""
        return {record.number: record.progress.epochs for record in self.result.records}

    @property
    def head(self) -> Head | None:
        return self.folder.head_now()

    def jobs(self) -> list[Job]:
        """What the sweep knows of its jobs."""
        return open_polled_jobs(Cluster.load(self.folder), self.folder).remembered()

    def workers(self, *states: str) -> list[Job]:
        return [job for job in self.jobs() if job.kind == "worker" and job.state in states]

    def wait(self, condition: Any, timeout_s: float, what: str) -> Any:
        """The condition's first true value."""
        return wait_for(condition, timeout_s, lambda: f"{what}: {self.describe()}")

    def wait_complete(self, timeout_s: float = 180) -> None:
        self.wait(lambda: self.states and not self.result.num_left, timeout_s, "all trials")

    def describe(self) -> str:
        """For a message: trials, jobs, the last words of controllers."""
        logs = sorted(self.folder.jobs.glob("*_0_log.*"), key=lambda path: path.stat().st_mtime)
        words = "".join(path.read_text(errors="replace")[-1500:] for path in logs[-3:])
        return f"trials {self.epochs} {self.states}; jobs {self.jobs()}\n{words}"

    def log(self, trial: int) -> str:
        """What a trial said."""
        path = self.plan.folder.trial_log(trial)
        return path.read_text() if path.exists() else ""
