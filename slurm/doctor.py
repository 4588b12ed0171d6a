"""The doctor of a site: asks SLURM here, then sends one small job to a node to look around there.

The job has the shape of a worker and is submitted as workers are. It and the doctor talk through files in the
shared storage, as the jobs of a sweep do.
"""

from __future__ import annotations

import fcntl
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from slurm import probes
from slurm.command import run_command
from slurm.errors import SchedulerError, SlurmError
from slurm.exchange import ANSWER_S, answering
from slurm.folder import Cluster
from slurm.job import Job, Kind
from slurm.jobs import PolledJobs, open_jobs, open_polled_jobs
from slurm.private import FILE_MODE, read_if_there
from slurm.probes import SIGNAL, software
from slurm.profile import LocalProfile, SlurmProfile
from slurm.report import Finding, Probe, Report, Room
from slurm.site import check_scratch, check_site, explain

NAME = "doctor"
KINDS: tuple[Kind, ...] = ("worker", "controller")
WAIT_S = 120.0
# How long the job may take once it runs. SLURM's early warning may come a minute before its time.
LIFE_S, EARLY_S = 240, 60
# Between the end of a job in the queue and the sight of its last words in the shared folder.
SETTLE_S = 5.0
END_S = 30.0
TICK_S = 0.05
LAST_LINES = 3


@dataclass(frozen=True)
class Plan:
    """What is to be examined.

    Attributes:
        code: the packages that the job is to use; None: what is installed.
        extra: what the job shall look at besides.
        wait_s: how long the job may wait in the queue.
    """

    profile: SlurmProfile | LocalProfile
    room: Room
    code: Path | None = None
    extra: Sequence[Probe] = ()
    wait_s: float = WAIT_S


@contextmanager
def open_room(storage: Path) -> Iterator[Room]:
    """A private folder in the storage, which is gone at the end of the block.

    Raises:
        SlurmError: the storage cannot be written.
    """
    is_new = not storage.exists()
    try:
        storage.mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=storage.absolute()))
    except OSError as error:
        raise SlurmError(f"{storage} cannot be written ({error.strerror}); choose another --storage") from error
    try:
        yield Room(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # something is in it by now
                storage.rmdir()


def examine(plan: Plan, say: Callable[[str], None]) -> Iterator[Finding]:
    """Look at everything, and yield what is found as soon as it is.

    Args:
        say: is told what is going on, for a person who waits.
    """
    say("asking SLURM")
    profile, is_ill = plan.profile, False
    fault = check_scratch(profile.scratch)
    if fault:
        yield fault
    if isinstance(profile, SlurmProfile):
        jobs = open_jobs(_cluster(plan, profile), plan.room.cluster)
        scripts = {kind: jobs.script(kind) for kind in KINDS}
        for finding in check_site(profile, scripts, plan.room.root):
            is_ill = is_ill or finding.level == "failure"
            yield finding
    if is_ill:
        yield Finding(
            "warning", "job", "none was submitted", "mend the failures above, then ask the doctor again"
        )
        return
    yield from _visit(plan, say)


def _visit(plan: Plan, say: Callable[[str], None]) -> Iterator[Finding]:
    """Submit the job, attend to it, and see it off."""
    room = plan.room
    cluster = _cluster(plan, _short(plan.profile))
    cluster.save(room.cluster)
    polled = open_polled_jobs(cluster, room.cluster)
    room.lock.touch(FILE_MODE)
    with room.lock.open("rb+") as lock, answering(room):
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            (id,) = polled.submit("worker", partial(probes.run, room.root, tuple(plan.extra), software()))
        except SchedulerError as error:
            yield explain("worker job", error)
            return
        attendance = _Attendance(plan, polled, id, say)
        is_done = False
        try:
            is_done = yield from attendance.follow()
        finally:
            attendance.see_off(is_done)


def _cluster(plan: Plan, profile: SlurmProfile | LocalProfile) -> Cluster:
    return Cluster.new(NAME, profile, code=plan.code, cwd=Path.cwd())


def _short(profile: SlurmProfile | LocalProfile) -> SlurmProfile | LocalProfile:
    """The profile with a walltime for which SLURM finds a gap soon."""
    if isinstance(profile, LocalProfile):
        return profile
    minutes = math.ceil((LIFE_S + EARLY_S + profile.drain_s) / 60)
    return profile.model_copy(update={"walltime_min": min(minutes, profile.walltime_min)})


@dataclass
class _Attendance:
    """Everything that is to be done here while the job is in the queue and on its node."""

    plan: Plan
    polled: PolledJobs
    id: str
    say: Callable[[str], None]
    _submitted: float = field(default_factory=time.monotonic)
    _began: float | None = None
    _ended: float | None = None
    _next_poll: float = 0.0
    _job: Job | None = None
    _has_signalled: bool = False

    def follow(self) -> Generator[Finding, None, bool]:
        """Yield what the job finds; whether it came to an end of that."""
        num_told, is_announced = 0, False
        while True:
            self._poll()
            # After the job, so that the report of one that has ended is whole.
            report = self.plan.room.report_now()
            if report:
                if not is_announced:
                    is_announced = True
                    yield self._arrival(report)
                yield from report.findings[num_told:]
                num_told = len(report.findings)
                if report.done:
                    return True
                self._signal(report)
            fault = self._fault(report)
            if fault:
                yield fault
                return False
            self.say(self._words(report))
            time.sleep(TICK_S)

    def see_off(self, is_done: bool) -> None:
        """Wait until the job is gone, for it writes into the room; one that is not done is cancelled."""
        self.say(f"waiting for the end of job {self.id}")
        profile = self.plan.profile
        patience_s = END_S + 2 * profile.poll_s + (0 if is_done else profile.kill_wait_s)
        deadline = time.monotonic() + patience_s
        with suppress(SchedulerError):
            if not is_done:
                self.polled.cancel([self.id])
        while time.monotonic() < deadline:
            self._poll()
            if self._job and self._job.state == "ended":
                return
            time.sleep(TICK_S)

    def _poll(self) -> None:
        """See how the job stands; when SLURM does not answer, it stands as it did."""
        now = time.monotonic()
        if now < self._next_poll:
            return
        self._next_poll = now + min(1.0, self.plan.profile.poll_s)
        with suppress(SchedulerError):
            self._job = next((job for job in self.polled.latest() if job.id == self.id), None)

    def _fault(self, report: Report | None) -> Finding | None:
        """Why there is nothing to wait for any more, if so."""
        now, job = time.monotonic(), self._job
        state = job.state if job else "pending"
        if self._began is None and (report or state != "pending"):
            self._began = now
        if state == "ended":
            self._ended = self._ended or now
            # The report of one that came to its end is whole, wherever it can be seen.
            settle_s = ANSWER_S if job and job.ending == "completed" else SETTLE_S
            return self._died(report) if now - self._ended > settle_s else None
        if self._began is None:
            return self._waits() if now - self._submitted > self.plan.wait_s else None
        if now - self._began > LIFE_S:
            busy = f"still looking at '{report.doing}'" if report else "silent"
            host = report.host if report else job.host if job else "its node"
            detail = f"job {self.id} was {busy} after {LIFE_S} s on {host}, and was cancelled"
            return Finding("failure", "job", detail, self._blind_cure(report))
        return None

    def _waits(self) -> Finding:
        reason = self._job.reason if self._job else ""
        detail = f"job {self.id} still waits after {self.plan.wait_s:.0f} s ({reason or 'no reason given'})"
        cure = (
            "nothing was looked at on a node: ask the doctor again with a longer --wait, or when nodes are free"
        )
        return Finding("warning", "job", f"{detail}, and was cancelled", cure)

    def _died(self, report: Report | None) -> Finding:
        job = self._job
        ending = (job.ending if job else None) or "unknown"
        host = (job.host if job else "") or "its node"
        log = self.plan.room.cluster.log(self.id)
        lines = read_if_there(log).decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        during = f" while looking at '{report.doing}'" if report else " and said nothing"
        last = f"; its last words: {' / '.join(line.strip() for line in lines)}" if lines else ""
        cure = "'setup', 'environment', 'python' and 'container' of the profile decide how it starts"
        detail = f"job {self.id} ended ({ending.replace('_', ' ')}) on {host}{during}{last}"
        is_blind = ending == "completed" or not lines
        return Finding("failure", "job", detail, self._blind_cure(report) if is_blind else cure)

    def _blind_cure(self, report: Report | None) -> str:
        if report:
            return "look at that on the node by hand"
        return f"does the node see {self.plan.room.root.parent}? Put --storage where all nodes share it"

    def _arrival(self, report: Report) -> Finding:
        waited_s = time.monotonic() - self._submitted
        detail = f"{self.id} runs on {report.host}, {waited_s:.1f} s after it was submitted"
        return Finding("ok", "job", detail)

    def _signal(self, report: Report) -> None:
        """Once, when the node waits for it."""
        if report.doing != SIGNAL or self._has_signalled:
            return
        self._has_signalled = True
        profile = self.plan.profile
        with suppress(SchedulerError):  # then it does not arrive, which the node tells
            if isinstance(profile, SlurmProfile):
                run_command(["scancel", "--signal=USR2", self.id], profile.command_timeout_s)
            else:
                self.polled.cancel([self.id])

    def _words(self, report: Report | None) -> str:
        if report:
            return f"job {self.id} on {report.host}: {report.doing}"
        reason = f" ({self._job.reason})" if self._job and self._job.reason else ""
        waits = "starts" if self._began is not None else f"waits in the queue{reason}"
        return f"job {self.id} {waits}, {time.monotonic() - self._submitted:.0f} s"
