"""The driver's books: what Tune asks and says of trials, turned into entries in the study and in the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orchestration.records import Report, TrialRecord
from orchestration.snapshot import SnapshotKeeper
from orchestration.tracking.sync import outcome_of

if TYPE_CHECKING:
    # It imports optuna, and who only looks at a sweep has no need of that.
    from orchestration.books import Books
    from orchestration.study import Assignment, Study

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
        books: the runs of the sweep.
        watcher: is told of everything.
        snapshot: is kept up to date.
        max_failures: that a trial may survive.

    Attributes:
        problems: what could not be tracked.
    """

    def __init__(
        self,
        study: Study,
        books: Books,
        watcher: Watcher,
        snapshot: SnapshotKeeper,
        max_failures: int,
    ) -> None:
        self._study = study
        self._books = books
        self._watcher = watcher
        self._snapshot = snapshot
        self._max_failures = max_failures
        self._numbers: dict[str, int] = {}
        self._reasons: dict[str, str] = {}
        self.problems: list[str] = []

    def check(self) -> None:
        """Called now and then: writes what is due, and raises what went wrong in opening the tracking store."""
        self._snapshot.tick()
        self._books.check()

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
        for number in self._numbers.values():
            if self._study.record(number).state == "running":
                self._close(number)

    def _goes_on(self, trial_id: str, it_may: bool) -> bool:
        if it_may:
            self._watcher.advanced(self._study.record(self._numbers[trial_id]))
            self._snapshot.change()
        return it_may

    def _close(self, number: int) -> None:
        record = self._study.record(number)
        self._books.settle(number, outcome_of(record), record.reason)
        self._watcher.ended(record)
