"""The command ``wav2pix``: the trainer's commands and ``wav2pix sweep``.

Functions parse, call and print. What is slow to import is imported when a command runs, so that help is quick.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from orchestration import cluster_cli, storage_cli, tracking_cli  # noqa: F401 - add their commands
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
from wav2pix.model_sources import MODEL_SOURCES

if TYPE_CHECKING:
    from orchestration.driver import Result

WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help='Only such trials, as in "metrics.l1 < 0.2 and params.batch_size = 16".',
    ),
]


def _fetch_model(address: str, to: Path) -> Path:
    from orchestration.registry import fetch

    return fetch(address, to)


MODEL_SOURCES["models"] = _fetch_model
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
    from orchestration import compare_view, driver, submission, tables
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
        goals = [goal.metric for goal in plan.spec.goals]
        compare_view.print_rows(compare_view.chosen(result, None), goals, console)
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
    where: WhereOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Show only the best so many.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Trials from best to worst, with the parameters that differ."""
    from orchestration import compare_view

    result = read_named(name, storage)
    rows = compare_view.chosen(result, where)[:limit]
    if as_json:
        print_json([row.dump() for row in rows])
        return
    compare_view.print_rows(rows, [goal.metric for goal in result.spec.goals], Console())


@sweep_app.command()
def best(
    name: NameArgument,
    storage: StorageOption = Path("runs"),
    where: WhereOption = None,
    as_json: JsonOption = False,
) -> None:
    """The best trial, why, and where it is; with several objectives all that none beats."""
    from orchestration import best_view

    result = read_named(name, storage)
    found = best_view.find_best(result, where)
    print_json(best_view.dump(found, result)) if as_json else best_view.show(found, result, Console())


@sweep_app.command()
def export(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="Folder to write; an older export there is replaced.")],
    trial: Annotated[int | None, typer.Option(min=0, help="Another trial than the best.")] = None,
    where: WhereOption = None,
    register: Annotated[
        bool,
        typer.Option("--register/--no-register", help="Whether to make it MLflow's champion if it is better."),
    ] = True,
    storage: StorageOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Write the best trial's weights, configuration, card and pictures to a folder, and register it."""
    from orchestration import registry
    from orchestration.export import export_trial

    result = read_named(name, storage)
    exported = export_trial(result, trial, out, where=where)
    registered = registry.register(result, exported) if register else None
    if as_json:
        about = {"out": str(out), "trial": exported.record.number, "epoch": exported.record.progress.epoch}
        print_json(about | {"registered": asdict(registered) if registered else None})
        return
    typer.echo(f"{out}: trial {exported.record.number}, epoch {exported.record.progress.epoch}")
    typer.echo(f"Draw a face: wav2pix generate --model {out} speech.wav --out face.png")
    if registered:
        typer.echo(registered.text, err=registered.version is None)


def _comparison(result: Result) -> list[dict[str, Any]]:
    from orchestration.tables import comparison

    return [row.dump() for row in comparison(result)]


def _opening(num_trials: int, num_finished: int, name: str) -> str:
    if num_finished >= num_trials:
        return f"Sweep '{name}' is complete: {num_finished} of {num_trials} trials are finished."
    if num_finished:
        return f"Sweep '{name}' goes on: {num_finished} of {num_trials} trials are finished."
    return f"Sweep '{name}': {num_trials} trials."
