"""The command ``wav2pix``: the trainer's commands and ``wav2pix sweep``.

Functions parse, call and print. What is slow to import is imported when a command runs, so that help is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from orchestration import cluster_cli  # noqa: F401 - adds its commands
from orchestration.cli_parts import (
    DryRunOption,
    FileArgument,
    JsonOption,
    NameArgument,
    StorageOption,
    cluster_app,
    print_json,
    read_named,
    sweep_app,
)
from orchestration.errors import OrchestrationError
from slurm.errors import SlurmError
from wav2pix.cli import app
from wav2pix.errors import Wav2PixError

if TYPE_CHECKING:
    from orchestration.driver import Result

app.add_typer(sweep_app, name="sweep")
app.add_typer(cluster_app, name="cluster")


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Faces from voices: train Wav2Pix, sweep its settings, take the best home."""


def main() -> None:
    """Run a command; a user's mistake is one line on stderr and exit code 1."""
    # A person adds --debug to the end of a command that failed; it is an option of the root.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    app.pretty_exceptions_enable = False
    try:
        app(arguments, prog_name="wav2pix")
    except (OrchestrationError, SlurmError, Wav2PixError) as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(error, err=True)
        sys.exit(1)


@sweep_app.command()
def validate(file: FileArgument, as_json: JsonOption = False) -> None:
    """Check a sweep file and its data set."""
    from orchestration.driver import make_plan
    from orchestration.load import load_spec

    plan = make_plan(load_spec(file))
    if as_json:
        print_json(plan.rows())
        return
    typer.echo(f"{file}: {plan.num_trials} trials of at most {plan.spec.epochs} epochs, nothing wrong with it")


@sweep_app.command()
def run(file: FileArgument, dry_run: DryRunOption = False, as_json: JsonOption = False) -> None:
    """Run a sweep, or go on with it where it stopped; Ctrl-C stops it."""
    from orchestration import driver, submission, tables
    from orchestration.load import load_spec
    from orchestration.progress import Progress

    plan = driver.make_plan(load_spec(file))
    # Bound to this stream: Ray's own words are sent elsewhere while trials run.
    console = Console(file=sys.stderr if as_json else sys.stdout)
    if dry_run:
        print_json(plan.rows()) if as_json else tables.print_rows(plan.rows(), console)
        return
    submission.check_not_led(plan)
    records = driver.read_sweep(plan.folder).records if plan.folder.record.is_file() else []
    console.print(_opening(plan.num_trials, plan.num_finished, plan.spec.name), highlight=False)
    progress = Progress(plan.spec, plan.num_trials, records, console)
    try:
        with progress.shown():
            result = driver.run_sweep(plan, progress)
    except KeyboardInterrupt:
        console.print(f"Stopped. Go on with: wav2pix sweep run {file}", highlight=False)
        raise typer.Exit(130) from None
    if as_json:
        print_json(_comparison(result))
    else:
        tables.print_comparison(result, console)
        tables.print_best(result, console)
        tables.print_where(result, console)
    for problem in result.problems:
        console.print(f"warning: {problem}", style="yellow", markup=False)
    if result.num_left:
        left = f"Stopped with {result.num_left} trials left."
        console.print(f"{left} Go on with: wav2pix sweep run {file}", highlight=False, soft_wrap=True)
        raise typer.Exit(130)


@sweep_app.command("list")
def list_sweeps(storage: StorageOption = Path("runs"), as_json: JsonOption = False) -> None:
    """All sweeps of a storage folder."""
    from orchestration import driver, tables
    from orchestration.folders import Storage

    rows = [tables.status_of(driver.read_sweep(folder)) for folder in Storage(storage).sweeps()]
    print_json(rows) if as_json else tables.print_statuses(rows, Console())


@sweep_app.command()
def status(
    name: NameArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it on the screen; Ctrl-C ends that.")] = False,
    storage: StorageOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """How far a sweep is, and what its jobs do."""
    from orchestration import status_view

    if as_json:
        print_json(status_view.dump(read_named(name, storage)))
        return
    status_view.show(lambda: read_named(name, storage), Console(), keep=watch)


@sweep_app.command()
def compare(
    name: NameArgument,
    storage: StorageOption = Path("runs"),
    limit: Annotated[int | None, typer.Option(min=1, help="Show only the best so many.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Trials from best to worst, with the parameters that differ."""
    from orchestration import tables

    result = read_named(name, storage)
    print_json(_comparison(result)[:limit]) if as_json else tables.print_comparison(result, Console(), limit)


@sweep_app.command()
def best(name: NameArgument, storage: StorageOption = Path("runs"), as_json: JsonOption = False) -> None:
    """The best trial and why; with several objectives all that none beats."""
    from orchestration import results, tables

    result = read_named(name, storage)
    winners = results.best(result.records, result.spec.goals)
    if as_json:
        rows = {row["trial"]: row for row in _comparison(result)}
        why = results.why(result.records, result.spec.goals)
        print_json({"best": [rows[record.number] for record in winners], "why": why})
        return
    console = Console()
    tables.print_best(result, console)
    for record in winners:
        console.print(f"trial {record.number}: ", record.params)
    tables.print_where(result, console)


@sweep_app.command()
def export(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="Folder to write; an older export there is replaced.")],
    trial: Annotated[int | None, typer.Option(min=0, help="Another trial than the best.")] = None,
    storage: StorageOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Write the best trial's weights, configuration, card and pictures to a folder."""
    from orchestration.export import export_trial

    record = export_trial(read_named(name, storage), trial, out)
    if as_json:
        print_json({"out": str(out), "trial": record.number, "epoch": record.progress.epoch})
        return
    typer.echo(f"{out}: trial {record.number}, epoch {record.progress.epoch}")
    typer.echo(f"Draw a face: wav2pix generate --model {out} speech.wav --out face.png")


def _comparison(result: Result) -> list[dict[str, Any]]:
    from orchestration.tables import comparison

    return [row.dump() for row in comparison(result)]


def _opening(num_trials: int, num_finished: int, name: str) -> str:
    if num_finished >= num_trials:
        return f"Sweep '{name}' is complete: {num_finished} of {num_trials} trials are finished."
    if num_finished:
        return f"Sweep '{name}' goes on: {num_finished} of {num_trials} trials are finished."
    return f"Sweep '{name}': {num_trials} trials."
