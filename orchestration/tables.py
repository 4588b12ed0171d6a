"""How the commands print what they know: rich tables and lines."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestration import results
from orchestration.driver import Result
from orchestration.folders import Storage
from orchestration.jobs_view import controller_of
from orchestration.lock import is_held
from orchestration.progress import STYLES, short
from orchestration.runs import tracking_uri

# Of a trial that was begun: it waits for a place, or nobody works on it.
TRIAL_STYLES = STYLES | {"waiting": "yellow", "unfinished": "dim"}
MAX_UNDER_WAY = 16


def print_rows(rows: dict[str, Any], console: Console) -> None:
    """What running a sweep would do, line by line."""
    table = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        table.add_row(key.replace("_", " "), str(value))
    console.print(table)


def print_submission(rows: dict[str, Any], scripts: dict[str, str], console: Console) -> None:
    """What submitting a sweep would do, and the batch scripts of its jobs."""
    print_rows(rows, console)
    for kind, script in scripts.items():
        console.print(f"\n# {kind} job", highlight=False)
        console.print(script, markup=False, highlight=False, soft_wrap=True)


def comparison(result: Result) -> list[results.Row]:
    """Trials from best to worst; those that are not finished as they are just now."""
    states = _states(result, _state(result))
    rows = results.compare(result.records, result.spec.goals)
    return [replace(row, state=states[row.trial]) for row in rows]


def _leaf(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def print_best(result: Result, console: Console) -> None:
    """The best trial, and why."""
    best = results.best(result.records, result.spec.goals)
    numbers = ", ".join(str(record.number) for record in best)
    reason = results.why(result.records, result.spec.goals)
    if not best:
        console.print(f"Best: {reason}.")
    else:
        console.print(f"Best: trial {numbers}: {reason}.", highlight=False, soft_wrap=True)


def print_where(result: Result, console: Console) -> None:
    """Where to look: pictures, tracking, and how to take the best home."""
    name = result.spec.name
    if result.folder.best_picture.is_file():
        console.print(
            f"Faces of the best trial beside the real ones: {result.folder.best_picture}", soft_wrap=True
        )
    console.print(f"Everything in MLflow:  {ui_command(result)}", highlight=False, soft_wrap=True)
    export = f"{_program('wav2pix')} sweep export {name}{_storage_option(result)} --out best"
    console.print(f"Take the best home:    {export}", highlight=False, soft_wrap=True)


def ui_command(result: Result) -> str:
    """What opens MLflow on a sweep: its UI on the embedded store, or the address of the server."""
    uri = tracking_uri(result.spec.tracking.uri)
    if uri and not uri.startswith("sqlite"):
        # Not its first page, which is about language models.
        return f"{uri}/#/experiments"
    uri = uri or f"sqlite:///{Storage(result.spec.storage).database}"
    return f"{_program('mlflow')} ui --backend-store-uri {uri} --port 5000 --workers 1"


def status_of(result: Result) -> dict[str, Any]:
    """A sweep in a few numbers."""
    counts: Counter[str] = Counter(record.state for record in result.records)
    state = _state(result)
    now = Counter(_states(result, state).values())
    best = results.best(result.records, result.spec.goals)
    return {
        "sweep": result.spec.name,
        "state": state,
        "trials": len(result.records) + max(0, result.num_left - counts["running"]),
        "finished": len(result.records) - counts["running"],
        **{name: counts[name] for name in STYLES if name != "running"},
        "unfinished": counts["running"],
        "running": now["running"],
        "waiting": now["waiting"],
        "gpu_seconds": results.gpu_seconds(result.records, result.spec.resources),
        "best_trial": best[0].number if best else None,
        "best": dict(zip((goal.metric for goal in result.spec.goals), best[0].progress.values, strict=True))
        if best
        else {},
        "folder": str(result.folder.root),
    }


def print_statuses(rows: list[dict[str, Any]], console: Console) -> None:
    """One line a sweep."""
    table = Table("sweep", "state", "finished", "complete/pruned/failed", "best")
    for row in rows:
        values = ", ".join(f"{metric} {value:.4f}" for metric, value in row["best"].items())
        best = "" if row["best_trial"] is None else f"trial {row['best_trial']}: {values}"
        counts = "/".join(str(row[key]) for key in ("complete", "pruned", "failed"))
        table.add_row(row["sweep"], row["state"], f"{row['finished']} of {row['trials']}", counts, best)
    console.print(table)


def print_under_way(result: Result, console: Console) -> None:
    """The trials that are not finished, if there are any."""
    records = [record for record in result.records if record.state == "running"]
    if not records:
        return
    states = _states(result, _state(result))
    goals = [goal.metric for goal in result.spec.goals]
    table = Table("trial", "state", "epochs", *goals, "settings")
    for record in records[:MAX_UNDER_WAY]:
        progress, state = record.progress, states[record.number]
        values = [f"{value:.4f}" for value in progress.values] or [""] * len(goals)
        settings = ", ".join(f"{_leaf(key)} {short(value)}" for key, value in record.params.items())
        epochs = f"{progress.epochs} of {result.spec.epochs}"
        table.add_row(str(record.number), f"[{TRIAL_STYLES[state]}]{state}[/]", epochs, *values, settings)
    console.print(table)
    if len(records) > MAX_UNDER_WAY:
        console.print(f"and {len(records) - MAX_UNDER_WAY} more trials that are not finished", highlight=False)


def _state(result: Result) -> str:
    """Of a sweep. Its driver says it runs; before and between drivers a controller may wait for its turn."""
    if is_held(result.folder.lock):
        return "running"
    if not result.num_left:
        return "complete"
    controller = controller_of(result.folder)
    if controller is None:
        return "stopped"
    return "queued" if controller.state == "pending" else "running"


def _states(result: Result, sweep: str) -> dict[int, str]:
    """Of all trials that were begun, in a sweep of this state: whoever works on a trial holds its lock."""
    idle = "waiting" if sweep in ("running", "queued") else "unfinished"
    return {
        record.number: idle
        if record.state == "running" and not is_held(result.folder.trial_lock(record.number))
        else record.state
        for record in result.records
    }


def _storage_option(result: Result) -> str:
    storage = result.spec.storage
    return "" if storage == Path("runs") else f" --storage {storage}"


def _program(name: str) -> str:
    """A program beside this one, as short as it can be typed here."""
    path = Path(sys.executable).parent / name
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
