"""Stand-ins for SLURM in tests that claim nothing about SLURM itself: its commands, and a queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slurm.errors import SchedulerError
from slurm.folder import Cluster, ClusterFolder
from slurm.jobs import Job, Kind, SlurmJobs
from slurm.profile import SlurmProfile, WorkerCount, WorkerShape

PROFILE = SlurmProfile(
    scheduler="slurm",
    worker=WorkerShape(cpus=3, gpus=2, memory_gb=1.5),
    workers=WorkerCount(max=4),
    partition="gpu",
    walltime_min=60,
    command_timeout_s=1,
)
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol")
# Writes down its arguments, a line for each call, and its environment, and does what the test says.
STAND_IN = """\
#!/bin/sh
echo "$*" >> {folder}/{name}.calls
env > {folder}/{name}.env
. {folder}/{name}.answer
"""


@dataclass(frozen=True)
class StandIns:
    """SLURM's commands of a test."""

    folder: Path

    def answer(self, name: str, shell: str) -> None:
        (self.folder / f"{name}.answer").write_text(shell)

    def calls(self, name: str) -> list[str]:
        path = self.folder / f"{name}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def environment(self, name: str) -> dict[str, str]:
        lines = (self.folder / f"{name}.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def make(tmp_path: Path, **changes: object) -> tuple[SlurmJobs, Cluster, ClusterFolder]:
    profile = PROFILE.model_copy(update=changes)
    folder = ClusterFolder(tmp_path / "sweep" / "cluster")
    cluster = Cluster.new("sweep", profile, code=tmp_path / "code", cwd=tmp_path)
    cluster.save(folder)
    return SlurmJobs(cluster, profile, folder), cluster, folder


def row(name: str, **fields: str) -> str:
    known = {
        "id": "101",
        "name": name,
        "state": "RUNNING",
        "submitted": "1000",
        "started": "1010",
        "ended": "4610",
        "host": "node1",
        "reason": "None",
    }
    return "|".join((known | fields).values())


@dataclass
class Queue:
    """A scheduler that says what the test wants it to."""

    jobs: dict[str, Job] = field(default_factory=dict)
    error: SchedulerError | None = None
    refusal: SchedulerError | None = None
    max_jobs: int | None = None
    takes_s: float = 0
    asked: list[float] = field(default_factory=list)
    submitted: int = 0

    def submit(self, kind: Kind, function: Callable[[], None], count: int = 1) -> list[str]:
        if self.refusal:
            raise self.refusal
        first, self.submitted = self.submitted, self.submitted + count
        return [str(number) for number in range(first + 1, self.submitted + 1)]

    def cancel(self, ids: Sequence[str]) -> None:
        raise AssertionError("not used")

    def list(self) -> list[Job]:
        self.asked.append(time.monotonic())
        time.sleep(self.takes_s)
        if self.error:
            raise self.error
        return list(self.jobs.values())

    def requeue(self, id: str) -> None:
        raise AssertionError("not used")

    def script(self, kind: Kind) -> str:
        return ""

    def show(self, id: str, state: str, kind: Kind = "worker", **fields: object) -> None:
        self.jobs[id] = replace(Job(id, kind, "pending"), state=state, **fields)  # type: ignore[arg-type]
