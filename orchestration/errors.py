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
    """The tracking store cannot be reached or refuses."""
