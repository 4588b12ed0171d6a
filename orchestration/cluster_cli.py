"""The commands for sweeps on a cluster: ``wav2pix sweep submit | logs | cancel`` and ``wav2pix cluster``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

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

ClusterOption = Annotated[
    str, typer.Option("--cluster", help="Profile: a name, or the path of a YAML file.", metavar="PROFILE")
]
CodeOption = Annotated[
    Literal["frozen", "live"],
    typer.Option(
        "--code", help="frozen: as it is now, however it changes later; live: as it is when jobs start."
    ),
]
FOLLOW_S = 0.5


@sweep_app.command()
def submit(
    file: FileArgument,
    cluster: ClusterOption,
    code: CodeOption = "frozen",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hand a sweep to a cluster, or go on with it there; returns at once."""
    from orchestration import driver, submission, tables
    from orchestration.clusters import load_profile
    from orchestration.load import load_spec

    plan, profile = driver.make_plan(load_spec(file)), load_profile(cluster)
    if dry_run:
        rows, scripts = submission.submission_rows(plan, profile), submission.scripts(plan, profile)
        print_json(rows | {"scripts": scripts}) if as_json else tables.print_submission(
            rows, scripts, Console()
        )
        return
    done = submission.submit(plan, profile, code)
    if as_json:
        print_json({"sweep": plan.spec.name, "job": done.job, "new": done.is_new, "notes": done.notes})
        return
    console = Console()
    for note in done.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if done.job:
        what = "submitted as" if done.is_new else "is there already:"
        console.print(f"{plan.spec.name} {what} job {done.job}", highlight=False)
        console.print(f"Follow it: wav2pix sweep status {file} --watch", highlight=False, soft_wrap=True)


@sweep_app.command()
def logs(
    name: NameArgument,
    trial: Annotated[int | None, typer.Option(min=0, help="Of a trial.")] = None,
    job: Annotated[str | None, typer.Option(help="Of a job.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing what is added.")] = False,
    storage: StorageOption = Path("runs"),
) -> None:
    """What a trial or a job said; without either of them what leads the sweep said."""
    from orchestration.logs import find_log

    path = find_log(read_named(name, storage), trial, job)
    with path.open(encoding="utf-8", errors="replace") as file:
        try:
            while True:
                typer.echo(file.read(), nl=False)
                if not follow:
                    return
                time.sleep(FOLLOW_S)
        except KeyboardInterrupt:
            typer.echo()  # the next prompt is not to stand behind ^C


@sweep_app.command()
def cancel(name: NameArgument, storage: StorageOption = Path("runs"), as_json: JsonOption = False) -> None:
    """End all jobs of a sweep; `sweep submit` goes on with it."""
    from orchestration import submission

    folder = read_named(name, storage).folder
    jobs = submission.cancel(folder)
    if as_json:
        print_json({"sweep": folder.name, "cancelled": jobs})
        return
    what = f"ended {', '.join(jobs)}; wav2pix sweep submit goes on with it" if jobs else "no job waits or runs"
    typer.echo(f"{folder.name}: {what}")


@cluster_app.command("list")
def list_profiles(as_json: JsonOption = False) -> None:
    """All cluster profiles that have a name, and their files."""
    from orchestration.clusters import own_folder, profile_names

    names = profile_names()
    if as_json:
        print_json({name: str(path) for name, path in names.items()})
        return
    for name, path in names.items():
        typer.echo(f"{name:<16}{path}")
    typer.echo(f"Your own go to {own_folder()}/NAME.yaml")


@cluster_app.command()
def doctor(
    cluster: ClusterOption,
    storage: StorageOption = Path("runs"),
    tracking: Annotated[str | None, typer.Option(help="Tracking URI of the sweeps to come.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that its job may wait in the queue.")] = 120,
    as_json: JsonOption = False,
) -> None:
    """Check a cluster before a GPU is spent, with one tiny job; exit code 1 if something is wrong."""
    from orchestration import doctor_view, doctoring
    from orchestration.clusters import load_profile

    profile = load_profile(cluster)
    console = Console(stderr=as_json)
    with doctor_view.waiting(console) as say:
        findings = doctoring.examine(profile, storage, tracking, wait, say)
        found = list(findings if as_json else doctor_view.printed(findings, console))
    print_json(doctor_view.dump(cluster, found)) if as_json else doctor_view.print_sum(found, console)
    if doctor_view.count(found, "failure"):
        raise typer.Exit(1)
