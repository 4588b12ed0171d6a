"""What the doctor finds, and the shared folder through which it and its job on a node talk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from slurm.folder import ClusterFolder
from slurm.private import read_if_there, write_private

Level = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        level: ``failure`` is what a sweep would fail of, ``warning`` what it may suffer from.
        what: was looked at.
        detail: what there is to say of it.
        cure: what to do; empty where nothing is to be done.
    """

    level: Level
    what: str
    detail: str
    cure: str = ""


@dataclass(frozen=True)
class Probe:
    """Something to look at on a node; whatever it raises is a failure. It travels in a pickle."""

    what: str
    look: Callable[[], Finding]


class Report(BaseModel):
    """How far the job on the node is.

    Attributes:
        host: the node.
        doing: what is being looked at.
        done: whether everything was.
    """

    model_config = ConfigDict(extra="forbid")

    host: str
    findings: list[Finding] = []
    doing: str = ""
    done: bool = False


class Answer(BaseModel):
    """The doctor's answer to a message from the node, in unix seconds of the doctor's clock."""

    seen: float
    sent: float = Field(description="when the answer was written, after the message had been seen")


@dataclass(frozen=True)
class Room:
    """The doctor's folder in the shared storage; all that is in it is the user's alone."""

    root: Path

    @property
    def cluster(self) -> ClusterFolder:
        """The part that the job layer knows."""
        return ClusterFolder(self.root / "cluster")

    @property
    def lock(self) -> Path:
        """The doctor holds it for as long as the job runs."""
        return self.root / "lock"

    def message(self, number: int) -> Path:
        """A message from the node."""
        return self.root / f"message-{number}"

    def answer(self, number: int) -> Path:
        """The doctor's :class:`Answer` to it."""
        return self.root / f"answer-{number}.json"

    @property
    def report(self) -> Path:
        """The node's :class:`Report`."""
        return self.root / "report.json"

    def save(self, report: Report) -> None:
        """Write the report down for the doctor."""
        write_private(self.report, report.model_dump_json().encode())

    def report_now(self) -> Report | None:
        """The report, if the job has begun."""
        content = read_if_there(self.report)
        return Report.model_validate_json(content) if content else None
