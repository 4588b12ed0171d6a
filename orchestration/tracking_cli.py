"""``wav2pix sweep sync``."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from orchestration.cli_parts import JsonOption, NameArgument, StorageOption, print_json, read_named, sweep_app


@sweep_app.command()
def sync(name: NameArgument, storage: StorageOption = Path("runs"), as_json: JsonOption = False) -> None:
    """Send what the tracking store does not have: after an outage, or with `tracking: {offline: true}`."""
    from orchestration import driver

    done = driver.sync(read_named(name, storage).folder)
    if as_json:
        print_json({"sent": done.sent, "closed": done.closed, "busy": done.busy, "problems": done.problems})
        return
    console = Console()
    if not (done.sent or done.closed or done.busy):
        console.print("The tracking store has everything.")
    else:
        console.print(f"Sent to {done.sent} runs and closed {done.closed}.", highlight=False)
    if done.busy:
        trials = ", ".join(map(str, done.busy))
        console.print(f"Trials at work send what they have themselves: {trials}.", highlight=False)
    for problem in done.problems:
        console.print(f"warning: {problem}", style="yellow", markup=False)
