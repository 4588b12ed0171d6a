"""What a sweep shows while it runs: a live table on a terminal, a line for each finished trial elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestration import results
from orchestration.records import TrialRecord
from orchestration.spec import SweepSpec

MAX_ROWS = 16
STYLES = {"running": "cyan", "complete": "green", "pruned": "yellow", "failed": "red"}


class Progress:
    """Follows the trials of a sweep.

    Args:
        spec: of the sweep.
        num_trials: how many there will be.
        records: those that were started before.
        console: where to show it.
    """

    def __init__(self, spec: SweepSpec, num_trials: int, records: list[TrialRecord], console: Console) -> None:
        self._spec = spec
        self._num_trials = num_trials
        # A trial that an earlier driver left unfinished runs again only when it is handed out again.
        self._records = {record.number: record for record in records if record.state != "running"}
        self._console = console
        self._started = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it during the block."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=self.render, console=self._console, refresh_per_second=2, transient=True):
            yield

    def started(self, record: TrialRecord) -> None:
        """A trial was handed out."""
        self._records[record.number] = record

    def advanced(self, record: TrialRecord) -> None:
        """A trial finished an epoch, or had a setback that it survives."""
        before = self._records.get(record.number, record)
        self._records[record.number] = record
        if len(record.failures) > len(before.failures):
            self._tell(record, f"failed and goes on: {record.failures[-1].splitlines()[0]}")
        elif record.losses > before.losses:
            self._tell(record, "lost its place and goes on in another")

    def ended(self, record: TrialRecord) -> None:
        """A trial is over, or was interrupted."""
        self._records[record.number] = record
        if record.state != "running":
            self._tell(record, self._line(record))

    def render(self) -> RenderableType:
        """The table as it stands."""
        table = Table(
            "trial", "state", "epoch", *(goal.metric for goal in self._spec.goals), "at epoch", "settings"
        )
        newest = sorted(self._records.values(), key=lambda record: (record.state != "running", -record.number))
        for record in sorted(newest[:MAX_ROWS], key=lambda record: record.number):
            progress = record.progress
            values = [f"{value:.4f}" for value in progress.values] or [""] * len(self._spec.goals)
            settings = ", ".join(
                f"{key.rsplit('.', 1)[-1]} {short(value)}" for key, value in record.params.items()
            )
            table.add_row(
                str(record.number),
                Text(record.state, STYLES[record.state]),
                f"{progress.epochs}/{self._spec.epochs}",
                *values,
                str(progress.epoch or ""),
                settings,
            )
        return Group(table, Text(self._summary()))

    def _tell(self, record: TrialRecord, what: str) -> None:
        """A line where there is no table."""
        if not self._console.is_terminal:
            text = f"{self._elapsed()}  trial {record.number:>3}  {what}"
            self._console.print(text, highlight=False, markup=False)

    def _summary(self) -> str:
        counts: Counter[str] = Counter(record.state for record in self._records.values())
        over = sum(count for state, count in counts.items() if state != "running")
        text = f"{self._elapsed()}  {over} of {self._num_trials} trials finished"
        text += "".join(f", {counts[state]} {state}" for state in STYLES if counts[state])
        best = results.best(list(self._records.values()), self._spec.goals)
        if best:
            text += f"; best: trial {best[0].number} with {self._values(best[0])}"
        return text

    def _line(self, record: TrialRecord) -> str:
        text = f"{record.state:<9} {record.progress.epochs}/{self._spec.epochs} epochs"
        if record.progress.values:
            text += f"  {self._values(record)} in epoch {record.progress.epoch}"
        return text + (f"  {record.reason.splitlines()[0]}" if record.reason else "")

    def _values(self, record: TrialRecord) -> str:
        pairs = zip(self._spec.goals, record.progress.values, strict=True)
        return ", ".join(f"{goal.metric} {value:.4f}" for goal, value in pairs)

    def _elapsed(self) -> str:
        seconds = int(time.monotonic() - self._started)
        return f"{seconds // 60}:{seconds % 60:02d}"


def short(value: object) -> str:
    """A setting's value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
