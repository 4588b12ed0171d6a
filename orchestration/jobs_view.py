"""The jobs of a sweep for people: what each did, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestration.folders import SweepFolder
from orchestration.records import TrialRecord
from orchestration.spec import Resources
from slurm.errors import SchedulerError
from slurm.folder import Cluster, ClusterFolder
from slurm.job import Job
from slurm.jobs import open_polled_jobs

STATE_STYLES = {"pending": "yellow", "running": "cyan", "ending": "dim", "ended": "dim"}


@dataclass(frozen=True)
class JobRow:
    """One job.

    Attributes:
        gpu_s: GPU-seconds that it held.
        busy_s: of these, the ones in which trials trained; a trial's unfinished epochs are not counted.
        why: why it waits, or why it ended.
    """

    id: str
    kind: str
    state: str
    host: str
    submitted: float | None
    started: float | None
    ended: float | None
    gpu_s: float
    busy_s: float
    why: str


@dataclass(frozen=True)
class JobsView:
    """All jobs of a sweep; ``problem`` is why they are not the newest state of things, or why it stopped."""

    rows: list[JobRow]
    problem: str = ""

    @property
    def gpu_hours(self) -> float:
        """GPU-hours of all jobs."""
        return sum(row.gpu_s for row in self.rows) / 3600

    @property
    def busy_hours(self) -> float:
        """GPU-hours in which trials trained."""
        return sum(row.busy_s for row in self.rows) / 3600

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "jobs": [asdict(row) for row in self.rows],
            "gpu_hours": self.gpu_hours,
            "gpu_hours_busy": self.busy_hours,
            "problem": self.problem,
        }


def view_jobs(folder: SweepFolder, records: Iterable[TrialRecord], resources: Resources) -> JobsView | None:
    """The jobs of a sweep; None for one that was never submitted to a cluster."""
    cluster_folder = ClusterFolder(folder.cluster)
    if not cluster_folder.record.is_file():
        return None
    cluster = Cluster.load(cluster_folder)
    polled = open_polled_jobs(cluster, cluster_folder)
    problem = cluster_folder.problem_now() or ""
    try:
        jobs = polled.latest()
    except SchedulerError as error:
        jobs, problem = polled.remembered(), str(error)
    busy: dict[str, float] = {}
    for record in records:
        for job, seconds in record.progress.seconds_by_job.items():
            busy[job] = busy.get(job, 0.0) + seconds * resources.gpus
    gpus = cluster.profile.worker.gpus
    return JobsView([_row(job, gpus, busy.get(job.id, 0.0), cluster_folder) for job in jobs], problem)


def print_jobs(view: JobsView, console: Console) -> None:
    """A table of jobs, and what they cost."""
    table = Table("job", "what", "state", "host", "since", "GPU min", "busy", "why")
    for row in view.rows:
        since = row.ended or row.started or row.submitted
        share = f"{row.busy_s / row.gpu_s:.0%}" if row.gpu_s else ""
        minutes = f"{row.gpu_s / 60:.1f}" if row.gpu_s else ""
        state = f"[{STATE_STYLES[row.state]}]{row.state}[/]"
        table.add_row(row.id, row.kind, state, row.host, _clock(since), minutes, share, row.why)
    console.print(table)
    console.print(
        f"GPU-hours: {view.gpu_hours:.2f}, of which trials trained {view.busy_hours:.2f}", highlight=False
    )
    if view.problem:
        console.print(view.problem, style="yellow", markup=False, highlight=False)


def _row(job: Job, gpus: int, busy_s: float, folder: ClusterFolder) -> JobRow:
    life = folder.life_of(job.id)
    why = (life.why if life else "") or job.reason or job.ending or ""
    held = (job.ended or time.time()) - job.started if job.started else 0.0
    gpu_s = held * gpus if job.kind == "worker" else 0.0
    return JobRow(
        *(job.id, job.kind, job.state, job.host, job.submitted, job.started, job.ended),
        gpu_s=gpu_s,
        busy_s=busy_s,
        why=why.splitlines()[0] if why else "",
    )


def _clock(moment: float | None) -> str:
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%H:%M:%S") if moment else ""
