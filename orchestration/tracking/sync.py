"""Bringing a tracking store up to date with a sweep's folder: what trials left unsent, and how they ended."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from orchestration.background import Background, IsOver
from orchestration.errors import SweepError
from orchestration.folders import SweepFolder, trial_name
from orchestration.lock import hold
from orchestration.records import TrialRecord
from orchestration.runs import Outcome, Tracker
from orchestration.tracking.journal import Journal
from orchestration.tracking.sender import send

# A trial that is over sends for a moment longer.
TRIAL_WAIT_S = 30.0


@dataclass
class Synced:
    """What a synchronisation did.

    Attributes:
        sent: runs that something was sent to.
        closed: runs that were told how they ended.
        busy: trials at work, which send what they have themselves.
        problems: what the store refused for good.
    """

    sent: int = 0
    closed: int = 0
    busy: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def sync_sweep(
    folder: SweepFolder, tracker: Tracker, records: Sequence[TrialRecord], outcome: Outcome, wait_s: float = 1.0
) -> Synced:
    """Send what is unsent and close what is open; done twice, the second time changes nothing.

    Args:
        folder: of the sweep.
        tracker: of its runs.
        records: how its trials stand.
        outcome: how the sweep stands.
        wait_s: for each trial that is still at work.

    Raises:
        TrackingError: the store is away; what it has it keeps.
        SweepError: what the driver logged is still being sent by another process.
    """
    done = Synced()
    own = Journal(folder.journal)
    # Trials hang below the run of the sweep.
    own_progress = own.progress.offset
    done.problems += send(own, partial(tracker.open, None))
    done.sent += own.progress.offset > own_progress
    for record in records:
        journal = Journal(folder.trial_journal(record.number))
        if journal.is_sent:
            continue
        try:
            done.problems += _send_trial(folder, tracker, record.number, wait_s)
            done.sent += 1
        except SweepError:
            done.busy.append(record.number)
    done.closed = reconcile(tracker, records, outcome, done.busy)
    return done


def reconcile(
    tracker: Tracker, records: Sequence[TrialRecord], sweep: Outcome, busy: Collection[int | None] = ()
) -> int:
    """Close every run that is open or says another end than the study; how many."""
    outcomes: dict[int | None, tuple[Outcome, str]] = {None: (sweep, "")}
    outcomes |= {record.number: (outcome_of(record), record.reason) for record in records}
    runs = tracker.runs()
    known = {run.trial for run in runs}
    closed = 0
    for trial, (outcome, _) in outcomes.items():
        # One that failed before it logged a word has a run all the same.
        if trial not in known and outcome == "failed":
            tracker.open(trial)
            tracker.close(trial, *outcomes[trial])
            closed += 1
    for run in runs:
        outcome, reason = outcomes.get(run.trial, ("interrupted", ""))
        if run.trial not in busy and (run.is_running or run.outcome != outcome):
            tracker.close(run.trial, outcome, reason)
            closed += 1
    return closed


def outcome_of(record: TrialRecord) -> Outcome:
    """A trial that runs by the study, while no process runs it, was interrupted."""
    return "interrupted" if record.state == "running" else record.state


class Courier:
    """Closes the runs of trials that are over, in a thread of the driver's, once what they left is sent.

    Args:
        folder: of the sweep.
        tracker: is still being opened, which takes seconds.

    Attributes:
        problems: what the store refused for good, for a person to read.
    """

    def __init__(self, folder: SweepFolder, tracker: Future[Tracker]) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._tracker = tracker
        self._due: dict[int, tuple[Outcome, str]] = {}
        self._lock = threading.Lock()
        self._background = Background(self._settle, "courier")

    @property
    def away(self) -> str:
        """Why a trial could not be settled the last time; empty if it could."""
        return self._background.away

    def settle(self, number: int, outcome: Outcome, reason: str) -> None:
        """Say how a trial ended; returns at once."""
        with self._lock:
            self._due[number] = (outcome, reason)
        self._background.wake()

    def close(self, timeout_s: float) -> int:
        """Settle what is left, or give up when the time is up; how many trials remain."""
        self._background.close(timeout_s)
        return len(self._due)

    def _settle(self, is_over: IsOver) -> None:
        """All that are due; one whose process hangs must not keep the others waiting."""
        tracker = self._tracker.result()
        hanging = ""
        with self._lock:
            due = dict(self._due)
        for number, (outcome, reason) in due.items():
            if is_over():
                return
            try:
                self.problems += _send_trial(self._folder, tracker, number, TRIAL_WAIT_S)
            except SweepError as error:
                hanging = str(error)
                continue
            if outcome == "failed":
                # One that failed before it logged a word has a run all the same.
                tracker.open(number)
            tracker.close(number, outcome, reason)
            with self._lock:
                if self._due[number] == (outcome, reason):
                    del self._due[number]
        if hanging:
            raise SweepError(hanging)


def _send_trial(folder: SweepFolder, tracker: Tracker, number: int, wait_s: float) -> list[str]:
    """Send what a trial left; the process that ran it may still do so.

    Raises:
        SweepError: it still runs after ``wait_s``.
    """
    journal = Journal(folder.trial_journal(number))
    if journal.is_sent:
        return []
    with hold(folder.trial_lock(number), f"trial {trial_name(number)}", wait_s):
        return send(journal, partial(tracker.open, number))
