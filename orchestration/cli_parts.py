"""What the modules of the command line share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.errors import SweepError

if TYPE_CHECKING:
    from orchestration.driver import Result

sweep_app = typer.Typer(no_args_is_help=True, help="Hyperparameter sweeps.")
cluster_app = typer.Typer(no_args_is_help=True, help="Clusters that sweeps run on.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Sweep file (YAML).")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a sweep, or its file.")]
StorageOption = Annotated[Path, typer.Option("--storage", help="Folder that holds sweeps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]


def read_named(name: str, storage: Path) -> Result:
    """How the sweep of this name, or of this file, stands.

    Raises:
        SweepError: there is no such sweep.
    """
    from orchestration.driver import read_sweep
    from orchestration.folders import Storage
    from orchestration.load import load_spec

    if name.endswith((".yaml", ".yml")):
        spec = load_spec(Path(name))
        name, storage = spec.name, spec.storage
    if "/" in name or name in ("", ".", ".."):
        raise SweepError(f"'{name}' is no name of a sweep; see `wav2pix sweep list`")
    return read_sweep(Storage(storage).sweep(name))


def print_json(value: object) -> None:
    """On stdout."""
    typer.echo(json.dumps(value, indent=1))
