"""``wav2pix sweep status``: how far a sweep is, its best trial, its jobs and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from orchestration import jobs_view, tables
from orchestration.driver import Result

REFRESH_S = 2.0


def dump(result: Result) -> dict[str, Any]:
    """For JSON."""
    # First, since it asks the scheduler; the rest goes by its answer.
    view = jobs_view.view_jobs(result.folder, result.records, result.spec.resources)
    return tables.status_of(result) | (view.dump() if view else {})


def show(read: Callable[[], Result], console: Console, *, keep: bool) -> None:
    """Print it once, or keep it on the screen until the sweep is over or Ctrl-C."""
    if not keep:
        _print(read(), console)
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                result = read()
                live.update(_captured(result, console), refresh=True)
                if not result.num_left:
                    return
                time.sleep(REFRESH_S)
    except KeyboardInterrupt:
        console.print()  # the next prompt is not to stand behind ^C


def _print(result: Result, console: Console) -> None:
    # First, since it asks the scheduler; the rest goes by its answer.
    view = jobs_view.view_jobs(result.folder, result.records, result.spec.resources)
    tables.print_statuses([tables.status_of(result)], console)
    tables.print_under_way(result, console)
    tables.print_best(result, console)
    if view:
        jobs_view.print_jobs(view, console)


def _captured(result: Result, console: Console) -> RenderableType:
    # Not on the console itself, which adds what is on the screen to whatever is printed.
    page = Console(file=StringIO(), width=console.width, force_terminal=console.is_terminal)
    with page.capture() as captured:
        _print(result, page)
    return Text.from_ansi(captured.get())
