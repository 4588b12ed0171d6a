"""The command ``wav2pix``: the trainer's commands and ``wav2pix sweep``.

Functions parse, call and print. What is slow to import is imported when a command runs, so that help is quick.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from orchestration.errors import OrchestrationError, SweepError
from wav2pix.cli import app
from wav2pix.errors import Wav2PixError

if TYPE_CHECKING:
    from orchestration.driver import Result

sweep_app = typer.Typer(no_args_is_help=True, help="Hyperparameter sweeps.")
app.add_typer(sweep_app, name="sweep")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Sweep file (YAML).")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a sweep, or its file.")]
StorageOption = Annotated[Path, typer.Option("--storage", help="Folder that holds sweeps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]


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
    except (OrchestrationError, Wav2PixError) as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(error, err=True)
        sys.exit(1)


@sweep_app.command()
def validate(file: FileArgument) -> None:
    """Check a sweep file and its data set."""
    from orchestration.driver import make_plan
    from orchestration.load import load_spec

    plan = make_plan(load_spec(file))
    typer.echo(f"{file}: {plan.num_trials} trials of at most {plan.spec.epochs} epochs, nothing wrong with it")


@sweep_app.command()
def run(file: FileArgument, dry_run: DryRunOption = False, as_json: JsonOption = False) -> None:
    """Run a sweep, or go on with it where it stopped; Ctrl-C stops it."""
    from orchestration import driver, tables
    from orchestration.load import load_spec
    from orchestration.progress import Progress

    plan = driver.make_plan(load_spec(file))
    # Bound to this stream: Ray's own words are sent elsewhere while trials run.
    console = Console(file=sys.stderr if as_json else sys.stdout)
    if dry_run:
        _print_json(plan.rows()) if as_json else tables.print_plan(plan, console)
        return
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
        _print_json(_comparison(result))
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
    _print_json(rows) if as_json else tables.print_statuses(rows, Console())


@sweep_app.command()
def status(name: NameArgument, storage: StorageOption = Path("runs"), as_json: JsonOption = False) -> None:
    """How far a sweep is."""
    from orchestration import tables

    result = _read(name, storage)
    if as_json:
        _print_json(tables.status_of(result))
        return
    console = Console()
    tables.print_statuses([tables.status_of(result)], console)
    tables.print_best(result, console)


@sweep_app.command()
def compare(
    name: NameArgument,
    storage: StorageOption = Path("runs"),
    limit: Annotated[int | None, typer.Option(min=1, help="Show only the best so many.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Trials from best to worst, with the parameters that differ."""
    from orchestration import tables

    result = _read(name, storage)
    _print_json(_comparison(result)[:limit]) if as_json else tables.print_comparison(result, Console(), limit)


@sweep_app.command()
def best(name: NameArgument, storage: StorageOption = Path("runs"), as_json: JsonOption = False) -> None:
    """The best trial and why; with several objectives all that none beats."""
    from orchestration import results, tables

    result = _read(name, storage)
    winners = results.best(result.records, result.spec.goals)
    if as_json:
        rows = {row["trial"]: row for row in _comparison(result)}
        why = results.why(result.records, result.spec.goals)
        _print_json({"best": [rows[record.number] for record in winners], "why": why})
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
) -> None:
    """Write the best trial's weights, configuration, card and pictures to a folder."""
    from orchestration.export import export_trial

    record = export_trial(_read(name, storage), trial, out)
    typer.echo(f"{out}: trial {record.number}, epoch {record.progress.epoch}")
    typer.echo(f"Draw a face: wav2pix generate --model {out} speech.wav --out face.png")


def _read(name: str, storage: Path) -> Result:
    from orchestration.driver import read_sweep
    from orchestration.folders import Storage
    from orchestration.load import load_spec

    if name.endswith((".yaml", ".yml")):
        spec = load_spec(Path(name))
        name, storage = spec.name, spec.storage
    if "/" in name or name in ("", ".", ".."):
        raise SweepError(f"'{name}' is no name of a sweep; see `wav2pix sweep list`")
    return read_sweep(Storage(storage).sweep(name))


def _comparison(result: Result) -> list[dict[str, Any]]:
    from orchestration.results import compare

    return [row.dump() for row in compare(result.records, result.spec.goals)]


def _opening(num_trials: int, num_finished: int, name: str) -> str:
    if num_finished >= num_trials:
        return f"Sweep '{name}' is complete: {num_finished} of {num_trials} trials are finished."
    if num_finished:
        return f"Sweep '{name}' goes on: {num_finished} of {num_trials} trials are finished."
    return f"Sweep '{name}': {num_trials} trials."


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1))
