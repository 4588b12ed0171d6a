"""The commands of ``wav2pix sweep`` that are about storage."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from orchestration.cli_parts import (
    DryRunOption,
    JsonOption,
    NameArgument,
    StorageOption,
    print_json,
    read_named,
    sweep_app,
)


@sweep_app.command()
def prune(
    name: NameArgument,
    dry_run: DryRunOption = False,
    storage: StorageOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Delete checkpoints that are neither new nor good, damaged ones, and what was left half-written."""
    from orchestration.identity import SweepRecord
    from orchestration.lock import hold
    from orchestration.pruning import check_idle, plan_pruning
    from orchestration.storage import Artifacts, open_store

    folder = read_named(name, storage).folder
    with hold(folder.lock, f"sweep '{folder.name}'"):
        check_idle(folder)
        record = SweepRecord.load(folder)
        artifacts = record.spec.artifacts or Artifacts()
        store = open_store(folder, artifacts, record.sweep_id)
        plan = plan_pruning(store, record.spec.goals, artifacts)
        if not dry_run:
            plan.do()
    if as_json:
        print_json(
            {
                "deleted": plan.rows(),
                "freed_bytes": plan.num_bytes,
                "kept_bytes": plan.kept_bytes,
                "warnings": list(plan.warnings),
                "dry_run": dry_run,
            }
        )
        return
    console = Console()
    if plan.doomed:
        table = Table("would be deleted" if dry_run else "deleted", "why", "size", box=None)
        for each in plan.doomed:
            table.add_row(each.stored.where, each.why, size(each.stored.num_bytes))
        console.print(table)
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    done = "would be freed" if dry_run else "freed"
    console.print(f"{size(plan.num_bytes)} {done}, {size(plan.kept_bytes)} stay", highlight=False)


def size(num_bytes: int) -> str:
    """For a person."""
    if num_bytes < 1000:
        return f"{num_bytes} B"
    power = min(4, (len(str(num_bytes)) - 1) // 3)
    return f"{num_bytes / 1000**power:.1f} {' kMGT'[power]}B"
