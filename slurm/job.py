"""A job and the interface to whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

JobState = Literal["pending", "running", "ending", "ended"]
Ending = Literal[
    "completed", "failed", "cancelled", "preempted", "timeout", "out_of_memory", "node_failed", "unknown"
]
Kind = Literal["controller", "worker"]


@dataclass(frozen=True)
class Job:
    """A job as the scheduler saw it last.

    Attributes:
        id: the scheduler's, ``123`` or ``123_4`` of an array.
        state: ``ending`` is one that ended, whose processes the scheduler is still removing.
        ending: how it ended, when it has.
        reason: why it is pending, or more of how it ended, in the scheduler's words.
        host: where it runs or ran.
        submitted: unix time; so are the next two.
        started: of its last start, where it was requeued.
        ended: when it ended, or was first missed.
    """

    id: str
    kind: Kind
    state: JobState
    ending: Ending | None = None
    reason: str = ""
    host: str = ""
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None


# Named here, since Jobs.list hides the word in its class.
Ids = list[str]
JobList = list[Job]


class Jobs(Protocol):
    """The jobs of one sweep. Every method may raise ``SchedulerError``, which says nothing of any job.

    Attributes:
        max_jobs: so many of them may wait and run at once; None for any number.
    """

    @property
    def max_jobs(self) -> int | None: ...

    def submit(self, kind: Kind, function: Callable[[], None], count: int = 1) -> Ids:
        """Queue ``count`` jobs that call ``function``, and return their ids at once.

        They are fewer than ``count`` when the scheduler refused after the first of them.
        """
        ...

    def cancel(self, ids: Sequence[str]) -> None:
        """End jobs; those that are gone already are no error."""
        ...

    def list(self) -> JobList:
        """All jobs that the scheduler still knows, ended ones for as long as it keeps them: one call."""
        ...

    def requeue(self, id: str) -> None:
        """End a running job and queue it again under the same id."""
        ...

    def script(self, kind: Kind) -> str:
        """The batch script of such a job; empty where there is none."""
        ...
