"""From a journal to the tracking store, in batches, for as long as it takes."""

from __future__ import annotations

from collections.abc import Callable

from orchestration.background import Background, IsOver
from orchestration.errors import TrackingRefused
from orchestration.lock import hold
from orchestration.runs import Run
from orchestration.tracking.journal import Journal, Progress

# Lines of a journal that go together; the store cuts them as it needs.
MAX_ENTRIES = 200

# A process that is told to end finishes the batch that it has begun; whoever goes on with the journal waits.
BATCH_WAIT_S = 30.0

# Opens the run of a journal; it is given the store's name of it, if that is known.
Open = Callable[[str | None], Run]


def send(journal: Journal, open_run: Open, is_over: IsOver = lambda: False) -> list[str]:
    """Send what a journal holds and the store has not confirmed; what it refused for good, in words.

    Args:
        journal: of one run.
        open_run: called only if there is something to send.
        is_over: asked between batches; ends it early.

    Raises:
        TrackingError: the store is away; what it confirmed before that is noted.
        SweepError: somebody else still sends it.
    """
    if journal.is_sent:
        return []
    with hold(journal.folder / "sending.lock", f"{journal.folder}, to be sent,", BATCH_WAIT_S):
        return _send(journal, open_run, is_over)


def _send(journal: Journal, open_run: Open, is_over: IsOver) -> list[str]:
    refused: list[str] = []
    run: Run | None = None
    while not is_over():
        entries = journal.unsent(MAX_ENTRIES)
        if not entries:
            break
        progress = journal.progress
        if run is None:
            run = open_run(progress.run_id)
            if run.run_id != progress.run_id:
                progress = Progress(progress.offset, run.run_id)
                journal.confirm(progress)
        try:
            run.send([entry for entry, _ in entries], journal.folder)
            journal.confirm(Progress(entries[-1][1], run.run_id))
        except TrackingRefused:
            # One of them; the others must not suffer for it.
            for entry, mark in entries:
                try:
                    run.send([entry], journal.folder)
                except TrackingRefused as error:
                    refused.append(f"{entry.type} of run {run.run_id} was refused: {error}")
                journal.confirm(Progress(mark, run.run_id))
    return refused


class Sender:
    """Sends a journal from a thread of its own, and tries again while the store is away.

    Attributes:
        problems: what the store refused for good, for a person to read.
    """

    def __init__(self, journal: Journal, open_run: Open) -> None:
        self.problems: list[str] = []
        self._journal = journal
        self._open = open_run
        self._background = Background(self._send, "tracking")

    @property
    def away(self) -> str:
        """Why the store could not be reached the last time; empty if it was."""
        return self._background.away

    def wake(self) -> None:
        """There is something to send."""
        self._background.wake()

    def close(self, timeout_s: float) -> bool:
        """Send what is left, or give up when the time is up; whether all was sent."""
        self._background.close(timeout_s)
        return self._journal.is_sent

    def _send(self, is_over: IsOver) -> None:
        self.problems += send(self._journal, self._open, is_over)
