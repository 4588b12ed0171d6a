"""``wav2pix sweep status``: how far a sweep is, its best trial, its jobs and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from orchestration import jobs_view, tables
from orchestration.driver import Result

REFRESH_S = 2.0


def dump(result: Result) -> dict[str, Any]:
    """For JSON."""
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
        return


def _print(result: Result, console: Console) -> None:
    tables.print_statuses([tables.status_of(result)], console)
    tables.print_best(result, console)
    view = jobs_view.view_jobs(result.folder, result.records, result.spec.resources)
    if view:
        jobs_view.print_jobs(view, console)


def _captured(result: Result, console: Console) -> RenderableType:
    with console.capture() as captured:
        _print(result, console)
    return Group(Text.from_ansi(captured.get()))
