"""What ``wav2pix cluster doctor`` shows: a line for each finding, and what is being looked at meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from slurm.report import Finding, Level

STYLES: dict[Level, str] = {"ok": "green", "warning": "yellow", "failure": "bold red"}
LEVEL_WIDTH, WHAT_WIDTH = 9, 16


@contextmanager
def waiting(console: Console) -> Iterator[Callable[[str], None]]:
    """A line at the bottom of a terminal that tells what is going on, while the block runs."""
    with console.status("") as status:
        yield lambda words: status.update(Text(words))


def printed(findings: Iterable[Finding], console: Console) -> Iterator[Finding]:
    """The same findings, each printed as soon as it is there."""
    for finding in findings:
        line = Text(f"{finding.level:<{LEVEL_WIDTH}}", STYLES[finding.level])
        line.append(f"{finding.what:<{WHAT_WIDTH}}{finding.detail}", "default not bold")
        console.print(line, soft_wrap=True)
        if finding.cure:
            console.print(Text(f"{'':<{LEVEL_WIDTH + WHAT_WIDTH}}cure: {finding.cure}"), soft_wrap=True)
        yield finding


def print_sum(findings: Sequence[Finding], console: Console) -> None:
    """How many there are of each level."""
    good, warnings, failures = (count(findings, level) for level in STYLES)
    console.print(f"{good} ok, warnings: {warnings}, failures: {failures}", highlight=False)


def count(findings: Sequence[Finding], level: Level) -> int:
    """How many findings are of this level."""
    return sum(finding.level == level for finding in findings)


def dump(cluster: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """For JSON."""
    passed = not count(findings, "failure")
    return {"cluster": cluster, "passed": passed, "findings": [asdict(finding) for finding in findings]}
