"""``wav2pix sweep compare``: trials side by side, quick also where they are thousands."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.driver import Result
from orchestration.progress import short
from orchestration.results import Row
from orchestration.tables import TRIAL_STYLES, comparison
from orchestration.where import kept

# Of a cell: its border and the blanks beside it.
EDGE = 3


def chosen(result: Result, where: str | None) -> list[Row]:
    """From best to worst, those that ``where`` lets through.

    Raises:
        SweepError: ``where`` is no condition.
    """
    numbers = {record.number for record in kept(result.records, where)}
    return [row for row in comparison(result) if row.trial in numbers]


def print_rows(rows: Sequence[Row], goals: Sequence[str], console: Console) -> None:
    """A column for each setting that differs if there is room, else one for all."""
    others = list(dict.fromkeys(key for row in rows for key in row.metrics if key not in goals))
    params = list(dict.fromkeys(key for row in rows for key in row.params))
    names = ["trial", "state", "epoch", *goals]
    roomy = [names + others + [_leaf(key) for key in params]]
    for row in rows:
        settings = [short(row.params[key]) if key in row.params else "" for key in params]
        roomy.append(_about(row) + [_number(row, key) for key in [*goals, *others]] + settings)
    if sum(_widths(roomy)) + EDGE * len(roomy[0]) < console.width:
        console.print(_table(roomy, _widths(roomy)))
    else:
        narrow = [[*names, "settings that differ"]]
        narrow += [_about(row) + [_number(row, key) for key in goals] + [_settings(row)] for row in rows]
        widths = _widths(narrow)[:-1]
        rest = console.width - 1 - sum(widths) - EDGE * len(narrow[0])
        console.print(_table(narrow, [*widths, max(rest, len(narrow[0][-1]))]))
    for row in rows:
        if row.reason:
            reason = row.reason.splitlines()[0]
            console.print(f"trial {row.trial} failed: {reason}", style="red", markup=False)


def _table(cells: list[list[str]], widths: list[int]) -> Table:
    """With the widths given: to find them out, rich would lay out every cell twice."""
    table = Table()
    for name, width in zip(cells[0], widths, strict=True):
        table.add_column(name, width=width)
    for row in cells[1:]:
        table.add_row(row[0], Text(row[1], TRIAL_STYLES[row[1]]), *(Text(cell) for cell in row[2:]))
    return table


def _widths(cells: list[list[str]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]


def _about(row: Row) -> list[str]:
    return [str(row.trial), row.state, f"{row.epoch} of {row.epochs}" if row.epochs else ""]


def _settings(row: Row) -> str:
    return ", ".join(f"{_leaf(key)} {short(value)}" for key, value in row.params.items())


def _leaf(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def _number(row: Row, key: str) -> str:
    value = row.values.get(key, row.metrics.get(key))
    return "" if value is None else f"{value:.4f}"
