"""The jobs of a sweep for people: what each did, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.folders import SweepFolder
from orchestration.records import TrialRecord
from orchestration.spec import Resources
from slurm.errors import SchedulerError
from slurm.folder import Cluster, ClusterFolder
from slurm.job import Job
from slurm.jobs import PolledJobs, open_polled_jobs

# Jobs that ended are many after a night of preemptions; so many are shown.
MAX_ENDED = 8
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
    """All jobs of a sweep; ``problem`` is why they are not the newest state of things, or why it stopped.

    Attributes:
        has_gpus: whether its workers have any.
    """

    rows: list[JobRow]
    has_gpus: bool
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
    jobs, silence = _jobs_now(open_polled_jobs(cluster, cluster_folder))
    busy: dict[str, float] = {}
    for record in records:
        for job, seconds in record.progress.seconds_by_job.items():
            busy[job] = busy.get(job, 0.0) + seconds * resources.gpus
    gpus = cluster.profile.worker.gpus
    rows = [_row(job, gpus, busy.get(job.id, 0.0), cluster_folder) for job in jobs]
    return JobsView(rows, gpus > 0, silence or cluster_folder.problem_now() or "")


def controller_of(folder: SweepFolder) -> Job | None:
    """The controller that a sweep has, waiting or running, as far as that is known.

    The scheduler is asked only where one is known that may have ended since.
    """
    cluster_folder = ClusterFolder(folder.cluster)
    if not cluster_folder.record.is_file():
        return None
    polled = open_polled_jobs(Cluster.load(cluster_folder), cluster_folder)
    if leader(polled.remembered()) is None:
        return None
    return leader(_jobs_now(polled)[0])


def print_jobs(view: JobsView, console: Console) -> None:
    """A table of jobs, and what they cost."""
    table = Table(
        "job", "what", "state", "host", "since", *(["GPU min", "busy"] if view.has_gpus else []), "why"
    )
    for row in (shown := _shown(view.rows)):
        since = row.ended or row.started or row.submitted
        share = f"{row.busy_s / row.gpu_s:.0%}" if row.gpu_s else ""
        minutes = f"{row.gpu_s / 60:.1f}" if row.gpu_s else ""
        costs = [minutes, share] if view.has_gpus else []
        state = f"[{STATE_STYLES[row.state]}]{row.state}[/]"
        table.add_row(row.id, row.kind, state, row.host, _clock(since), *costs, Text(row.why))
    console.print(table)
    if len(shown) < len(view.rows):
        console.print(f"{len(view.rows) - len(shown)} jobs that ended before are not shown", highlight=False)
    if view.has_gpus:
        console.print(
            f"GPU-hours: {view.gpu_hours:.2f}, of which trials trained {view.busy_hours:.2f}", highlight=False
        )
    if view.problem:
        console.print(view.problem, style="yellow", markup=False, highlight=False)


def _jobs_now(polled: PolledJobs) -> tuple[list[Job], str]:
    """The jobs, and why they are not the newest state of things if they are not."""
    try:
        return polled.latest(), ""
    except SchedulerError as error:
        return polled.remembered(), str(error)


def leader(jobs: Iterable[Job]) -> Job | None:
    """The controller job among them that waits or runs."""
    return next((job for job in jobs if job.kind == "controller" and job.state in ("pending", "running")), None)


def _shown(rows: list[JobRow]) -> list[JobRow]:
    """All that wait or run, and the last that ended."""
    ended = sorted((row for row in rows if row.state == "ended"), key=lambda row: row.ended or 0.0)
    hidden = {row.id for row in ended[:-MAX_ENDED]}
    return [row for row in rows if row.id not in hidden]


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
