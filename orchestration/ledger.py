"""The driver's books: what Tune asks and says of trials, turned into entries in the study and in the runs."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Protocol

from orchestration.records import Report, TrialRecord
from orchestration.runs import Outcome, Tracker, Writer
from orchestration.snapshot import SnapshotKeeper

if TYPE_CHECKING:
    # It imports optuna, and who only looks at a sweep has no need of that.
    from orchestration.study import Assignment, Study

FLUSH_S = 60.0
# A trial that is lost so often in a row, without an epoch in between, may be what ends its nodes.
MAX_LOSSES_WITHOUT_PROGRESS = 5


class Watcher(Protocol):
    """Someone who wants to know what happens, such as a table on a screen."""

    def started(self, record: TrialRecord) -> None: ...
    def advanced(self, record: TrialRecord) -> None:
        """A trial has another epoch, or had a setback that it survives."""

    def ended(self, record: TrialRecord) -> None: ...


class Ledger:
    """Knows trials by Tune's names and keeps study and runs in step.

    Args:
        study: where trials come from.
        tracker: is still being opened, which takes seconds.
        watcher: is told of everything.
        snapshot: is kept up to date.
        max_failures: that a trial may survive.

    Attributes:
        problems: what could not be tracked.
    """

    def __init__(
        self,
        study: Study,
        tracker: Future[Tracker],
        watcher: Watcher,
        snapshot: SnapshotKeeper,
        max_failures: int,
    ) -> None:
        self._study = study
        self._tracker = tracker
        self._watcher = watcher
        self._snapshot = snapshot
        self._max_failures = max_failures
        self._writer = Writer()
        self._numbers: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        self.problems: list[str] = []

    def check(self) -> None:
        """Called now and then: writes what is due, and raises what went wrong in opening the tracking store."""
        self._snapshot.tick()
        if self._tracker.done():
            self._tracker.result()

    def start(self, trial_id: str) -> Assignment:
        """The next trial, to be known as ``trial_id``."""
        assignment = self._study.ask()
        self._numbers[trial_id] = assignment.number
        self._watcher.started(self._study.record(assignment.number))
        self._snapshot.change()
        return assignment

    def report(self, trial_id: str, text: str) -> bool:
        """An epoch is over; whether the trial is to be stopped."""
        report = Report.parse(text)
        number = self._numbers[trial_id]
        prune = self._study.report(number, report.history, report.progress)
        self._watcher.advanced(self._study.record(number))
        self._snapshot.change()
        return prune

    def end(self, trial_id: str, text: str) -> None:
        """A trial has come to its last epoch, or was stopped before it."""
        report = Report.parse(text)
        number = self._numbers[trial_id]
        self.problems += report.problems
        self._study.report(number, report.history, report.progress)
        if report.is_last:
            self._study.complete(number)
        self._snapshot.change()
        self._close(number)

    def failed(self, trial_id: str, reason: str) -> bool:
        """A trial has failed; whether it may go on."""
        self._reasons[trial_id] = reason
        count = self._study.add_failure(self._numbers[trial_id], reason)
        return self._goes_on(trial_id, count <= self._max_failures)

    def lost(self, trial_id: str, reason: str) -> bool:
        """A trial has lost its place, which is no failure; whether it may go on."""
        count = self._study.add_loss(self._numbers[trial_id])
        self._reasons[trial_id] = (
            f"lost {count} times in a row before it finished an epoch, which may be its own doing: {reason}"
        )
        return self._goes_on(trial_id, count < MAX_LOSSES_WITHOUT_PROGRESS)

    def give_up(self, trial_id: str) -> None:
        """A trial has failed for good, of what was said last."""
        number = self._numbers[trial_id]
        self._study.fail(number, self._reasons[trial_id])
        self._snapshot.change()
        self._close(number)

    def finish(self) -> None:
        """No more trials in this process: those still running were interrupted."""
        self._snapshot.flush()
        if self._tracker.exception():
            return
        for number in self._numbers.values():
            if self._study.record(number).state == "running":
                self._close(number)
        self._writer.close(FLUSH_S)
        self.problems += self._writer.problems

    def _goes_on(self, trial_id: str, it_may: bool) -> bool:
        if it_may:
            self._watcher.advanced(self._study.record(self._numbers[trial_id]))
            self._snapshot.change()
        return it_may

    def _close(self, number: int) -> None:
        record = self._study.record(number)
        self._writer.submit(partial(self._close_run, number, outcome_of(record), record.reason))
        self._watcher.ended(record)

    def _close_run(self, number: int, outcome: Outcome, reason: str) -> None:
        self._tracker.result().close(number, outcome, reason)


def outcome_of(record: TrialRecord) -> Outcome:
    """How the run of a trial stands when nobody works on it."""
    return "interrupted" if record.state == "running" else record.state


def reconcile(tracker: Tracker, records: list[TrialRecord], sweep: Outcome) -> None:
    """Close every run that a dead driver left open, as the study says."""
    outcomes: dict[int | None, tuple[Outcome, str]] = {None: (sweep, "")}
    outcomes |= {record.number: (outcome_of(record), record.reason) for record in records}
    for run in tracker.runs():
        outcome, reason = outcomes.get(run.trial, ("interrupted", ""))
        if run.is_running or (run.outcome != outcome and run.trial is not None):
            tracker.close(run.trial, outcome, reason)
