"""Asking after jobs politely: one question per ``poll_s`` for everybody who wants to know, on any host.

The answers are in ``jobs.json``, and so is when it was last asked, and how that went. Who wants to know reads
the file and asks the scheduler only if nobody has for long enough. Jobs stay in it after the scheduler has
forgotten them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, ValidationError

from slurm.errors import NoAnswer, SchedulerError
from slurm.folder import ClusterFolder
from slurm.job import Ids, Job, JobList, Jobs, Kind
from slurm.private import locked, write_private

MAX_BACK_OFF_S = 120.0
# A job that sbatch confirmed and that so many polls have not shown is none.
MAX_MISSES = 3
WAIT_S = 0.1


class Entry(BaseModel):
    """A job, and how many polls have missed it; None once one has seen it."""

    job: Job
    misses: int | None = None


class History(BaseModel):
    """What ``jobs.json`` holds; times are unix seconds.

    Attributes:
        asked: when the scheduler was asked last.
        answered: when it was asked what it then answered.
        failures: questions without an answer since.
        error: of the last of them.
        doubt: when a submission last had no answer, which may have been taken all the same.
        entries: every job of the sweep, in the order of first sight.
    """

    model_config = ConfigDict(extra="forbid")

    asked: float = 0
    answered: float = 0
    failures: int = 0
    error: str = ""
    doubt: float = 0
    entries: dict[str, Entry] = {}

    @property
    def jobs(self) -> JobList:
        """As they are known."""
        return [entry.job for entry in self.entries.values()]

    @property
    def is_in_doubt(self) -> bool:
        """Whether a submission had no answer, and no poll has answered since."""
        return self.doubt > 0 and self.doubt >= self.answered

    def take(self, listed: JobList, asked: float) -> None:
        """Take in the answer to a question of the time ``asked``."""
        self.answered, self.failures, self.error = asked, 0, ""
        seen = {job.id: job for job in listed}
        for job in listed:
            known = self.entries.get(job.id)
            submitted = job.submitted or (known.job.submitted if known else None)
            self.entries[job.id] = Entry(job=replace(job, submitted=submitted))
        for id, entry in self.entries.items():
            if id not in seen and entry.job.state != "ended":
                self.entries[id] = _missed(entry, asked)

    def add(self, id: str, kind: Kind, now: float) -> None:
        """Take in a job that was just submitted; a poll may have been quicker."""
        self.entries.setdefault(id, Entry(job=Job(id, kind, "pending", submitted=now), misses=0))


class PolledJobs:
    """The jobs of a sweep, shared by threads, processes and hosts."""

    def __init__(self, jobs: Jobs, folder: ClusterFolder, poll_s: float) -> None:
        self._jobs = jobs
        self._folder = folder
        self._poll_s = poll_s
        self._thread_lock = threading.Lock()
        self._not_before = 0.0  # on this process's own clock, should another host's be wrong

    def latest(self, max_age_s: float | None = None) -> JobList:
        """The jobs as they were at most ``max_age_s`` ago, which is never less than ``poll_s``.

        Raises:
            SchedulerError: the scheduler does not answer. It is asked again after a while that doubles, and
                until then this is raised at once.
        """
        max_age_s = max(self._poll_s, max_age_s or 0)
        with self._thread_lock:
            while True:
                claimed = self._claim(max_age_s)
                if isinstance(claimed, History):
                    return claimed.jobs
                if claimed is not None:
                    return self._ask(claimed)
                time.sleep(WAIT_S)  # another process has just asked: its answer, or its turn, will pass

    def remembered(self) -> JobList:
        """The jobs as they were when the scheduler last answered, without asking it."""
        return self._read().jobs

    def submit(self, kind: Kind, function: Callable[[], None], count: int = 1) -> Ids:
        """Queue up to ``count`` jobs, fewer where ``max_jobs`` of the profile or the scheduler allow no more.

        Raises:
            SchedulerError: none was taken.
            NoAnswer: one may have been taken all the same. Nothing is submitted then until a poll has answered,
                which would find it by its name.
        """
        self._settle_doubt()
        count = self._room_for(count)
        if not count:
            return []
        try:
            ids, lost = self._jobs.submit(kind, function, count), None
        except NoAnswer as error:
            ids, lost = error.submitted, error
        with self._change() as history:
            for id in ids:
                history.add(id, kind, time.time())
            if lost:
                history.doubt = time.time()
        if lost and not ids:
            raise lost
        return ids

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs; those that are gone already are no error."""
        self._jobs.cancel(ids)

    def requeue(self, id: str) -> None:
        """End a running job and queue it again under the same id."""
        self._jobs.requeue(id)

    def script(self, kind: Kind) -> str:
        """The batch script of such a job; empty where there is none."""
        return self._jobs.script(kind)

    def _settle_doubt(self) -> None:
        if self._read().is_in_doubt:
            self.latest()
            if self._read().is_in_doubt:
                raise NoAnswer("the last submission had no answer; the next poll shows whether it was taken")

    def _room_for(self, count: int) -> int:
        if self._jobs.max_jobs is None:
            return count
        alive = [job for job in self._read().jobs if job.state != "ended"]
        return max(0, min(count, self._jobs.max_jobs - len(alive)))

    def _claim(self, max_age_s: float) -> History | float | None:
        """The history where it is fresh enough; the time if it is our turn to ask; None if another one asks."""
        with self._change() as history:
            now = time.time()
            if _age(history.answered, now) <= max_age_s and not history.failures:
                return history
            wait_s = self._poll_s
            if history.failures:
                wait_s = max(wait_s, min(self._poll_s * 2**history.failures, MAX_BACK_OFF_S))
            if _age(history.asked, now) >= wait_s and time.monotonic() >= self._not_before:
                self._not_before = time.monotonic() + self._poll_s
                history.asked = now
                return now
            if history.failures:
                left_s = wait_s - _age(history.asked, now)
                raise SchedulerError(f"{history.error}; asking again in {left_s:.0f} s")
            return None

    def _ask(self, asked: float) -> JobList:
        try:
            listed = self._jobs.list()
        except SchedulerError as error:
            with self._change() as history:
                history.failures += 1
                history.error = str(error)
            raise
        with self._change() as history:
            history.take(listed, asked)
            return history.jobs

    def _read(self) -> History:
        try:
            return History.model_validate_json(self._folder.history.read_bytes())
        except FileNotFoundError:
            return History()
        except (OSError, ValidationError) as error:
            raise SchedulerError(f"{self._folder.history}: cannot be read: {error}") from None

    @contextmanager
    def _change(self) -> Iterator[History]:
        """The history, written back at the end of the block, which one process at a time is in."""
        self._folder.create()
        with locked(self._folder.history_lock):
            history = self._read()
            before = history.model_dump_json()
            yield history
            after = history.model_dump_json()
            if after != before:
                write_private(self._folder.history, after.encode())


def _missed(entry: Entry, asked: float) -> Entry:
    """A job that an answer lacks: gone if one had it before, else given some more polls."""
    job, misses = entry.job, entry.misses
    if misses is not None:
        if job.submitted and job.submitted >= asked:
            return entry
        misses += 1
        if misses < MAX_MISSES:
            return Entry(job=job, misses=misses)
    return Entry(job=replace(job, state="ended", ending="unknown", ended=asked), misses=misses)


def _age(then: float, now: float) -> float:
    """Seconds since; the clock of another host may be ahead of ours."""
    return abs(now - then)
