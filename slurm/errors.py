"""The exceptions of jobs and nodes. All derive from :class:`SlurmError`, whose message is for a user."""

from __future__ import annotations

from collections.abc import Sequence


class SlurmError(Exception):
    """What went wrong, where, and what to do: the command line prints it without a traceback."""


class ProfileError(SlurmError):
    """A cluster profile that cannot be used; one line for each thing that is wrong with it."""


class SchedulerError(SlurmError):
    """A command of the scheduler failed or hung: nothing may be concluded about jobs."""


class NoAnswer(SchedulerError):
    """A command hung or lost its connection: what it was to do may have been done all the same.

    Attributes:
        submitted: ids of the jobs that were submitted before.
    """

    def __init__(self, message: str, submitted: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.submitted = list(submitted)
