"""The exceptions of the sweeps. All derive from :class:`OrchestrationError`, whose message is for a user."""

from __future__ import annotations


class OrchestrationError(Exception):
    """What went wrong, where, and what to do: the command line prints it without a traceback."""


class SpecError(OrchestrationError):
    """A sweep file that cannot be run; one line for each thing that is wrong with it."""


class SweepError(OrchestrationError):
    """A sweep that is not there, is busy, or cannot do what was asked of it."""


class StorageError(OrchestrationError):
    """An artifact is missing or cannot be written."""


class TrackingError(OrchestrationError):
    """The tracking store cannot be reached, or does not answer as it should."""


class TrackingRefused(TrackingError):
    """The tracking store will never take this, however often it is asked."""


class TrialFailed(OrchestrationError):
    """Stands for an exception of a trial: this one any process can be told of, the other maybe not."""


class TrialLost(OrchestrationError):
    """A trial cannot go on in this place, through no fault of its own; it can in another."""


class TrialTurnedAway(TrialLost):
    """A trial did not even begin in this place, which is about to end. It says nothing about the trial."""
