"""What is written down of a local job: the file that takes the place of SLURM's memory.

Its submitter makes it; from then on the job's keeper writes it, and everybody reads it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slurm.errors import SchedulerError
from slurm.job import Ending, Job, JobState, Kind
from slurm.private import locked, read_if_there, write_private

SUFFIX = ".job.json"
# A keeper says who it is within so long, or never started.
START_S = 60.0


@dataclass(frozen=True)
class LocalRecord:
    """A local job; times are unix seconds.

    Attributes:
        id: a number, counted in each sweep.
        devices: GPUs that are its own, by number.
        keeper: process id of its keeper, once that runs.
        born: tells that process from a later one of the same id.
        started: of its body, the last time.
        ended: when nothing of it was left.
    """

    id: str
    kind: Kind
    host: str
    submitted: float
    devices: tuple[int, ...] = ()
    keeper: int | None = None
    born: str = ""
    started: float | None = None
    ended: float | None = None
    ending: Ending | None = None

    def save(self, folder: Path) -> None:
        """Write it down in the folder of all jobs."""
        write_private(_path(folder, self.id), json.dumps(asdict(self)).encode())

    @property
    def is_alive(self) -> bool:
        """Whether the job waits or runs.

        Raises:
            SchedulerError: that is not to be known here.
        """
        if self.ended is not None:
            return False
        if self.host != socket.gethostname():
            raise SchedulerError(f"local job {self.id} runs on {self.host}: ask there")
        if self.keeper is None:
            return time.time() - self.submitted < START_S
        return born(self.keeper) == self.born

    def as_job(self) -> Job:
        """As everybody sees it."""
        alive = self.is_alive
        running = alive and self.started is not None
        state: JobState = ("running" if running else "pending") if alive else "ended"
        return Job(
            id=self.id,
            kind=self.kind,
            state=state,
            # A keeper that was killed could not write down any ending.
            ending=None if alive else self.ending or "unknown",
            host=self.host,
            submitted=self.submitted,
            started=self.started,
            ended=self.ended,
        )


def load_record(folder: Path, id: str) -> LocalRecord | None:
    """The record of a job, if there is such a job."""
    content = read_if_there(_path(folder, id))
    if not content:
        return None
    fields = json.loads(content)
    return LocalRecord(**fields | {"devices": tuple(fields["devices"])})


def load_records(folder: Path) -> Iterator[LocalRecord]:
    """All jobs, in the order of their submission."""
    ids = (path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}") if path.name[0] != ".")
    for id in sorted(ids, key=int):
        record = load_record(folder, id)
        if record is not None:
            yield record


def new_record(folder: Path, kind: Kind, gpus: int) -> LocalRecord:
    """Write down a job that is about to start; it gets the next number, and the first GPUs that are free."""
    with locked(folder / ".lock"):
        records = list(load_records(folder))
        taken = {device for record in records if record.is_alive for device in record.devices}
        free = (device for device in range(len(taken) + gpus) if device not in taken)
        record = LocalRecord(
            id=str(1 + max((int(record.id) for record in records), default=0)),
            kind=kind,
            host=socket.gethostname(),
            submitted=time.time(),
            devices=tuple(device for device, _ in zip(free, range(gpus), strict=False)),
        )
        record.save(folder)
    return record


def born(pid: int) -> str | None:
    """When a process started, in a form that no other process shares; None if it is no more."""
    try:
        # The name in brackets may hold anything, blanks and brackets too.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, ticks = fields[0], fields[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if state in "ZX" else f"{boot}-{ticks}"


def cancel_mark(folder: Path, id: str) -> Path:
    """There once somebody wants the job to end, which its keeper may learn before it can hear a signal."""
    return folder / f"{id}.cancel"


def with_ending(record: LocalRecord, ending: Ending) -> LocalRecord:
    """The record of a job that is over."""
    return replace(record, ended=time.time(), ending=ending)


def _path(folder: Path, id: str) -> Path:
    return folder / f"{id}{SUFFIX}"
