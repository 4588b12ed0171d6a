"""What is known of a trial, as plain values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Progress:
    """How far a trial has come.

    Attributes:
        epochs: finished so far.
        epoch: the best of them by the objective; the newest with several objectives. 0: none yet.
        values: the objectives at that epoch, in the order of the sweep file.
        metrics: everything that was measured at that epoch.
        seconds_by_job: that the epochs took, by the SLURM job they were trained in; "" is none.
    """

    epochs: int = 0
    epoch: int = 0
    values: tuple[float, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    seconds_by_job: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """That all epochs took."""
        return sum(self.seconds_by_job.values())

    @classmethod
    def parse(cls, tree: dict[str, Any]) -> Progress:
        """What :meth:`dump` wrote."""
        return cls(**{**tree, "values": tuple(tree["values"])})

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"values": list(self.values)}


@dataclass(frozen=True)
class Report:
    """What a trial tells the driver after each epoch.

    Attributes:
        history: the objective by epoch: the new one, and after a resume the earlier ones too.
        is_last: nothing comes after this.
        problems: what could not be tracked.
    """

    progress: Progress
    history: dict[int, float]
    is_last: bool = False
    problems: tuple[str, ...] = ()

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Report:
        """What :meth:`dump` wrote."""
        tree = json.loads(text)
        history = {int(epoch): value for epoch, value in tree["history"].items()}
        return cls(Progress.parse(tree["progress"]), history, tree["is_last"], tuple(tree["problems"]))


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a sweep.

    Attributes:
        number: from 0, in the order of being asked for.
        params: values of the searched settings that exist in this trial.
        reason: why it failed for good.
        failures: why it failed, each time; as long as it may, it goes on from its newest checkpoint.
        losses: how often it lost its place through no fault of its own; that never counts as a failure.
    """

    number: int
    state: State
    params: dict[str, Any]
    progress: Progress = Progress()
    reason: str = ""
    failures: tuple[str, ...] = ()
    losses: int = 0

    @property
    def has_value(self) -> bool:
        """Whether it has an epoch to be judged by. One that still runs may replace its best at any moment."""
        return bool(self.progress.values) and self.state in ("complete", "pruned")

    @classmethod
    def parse(cls, tree: dict[str, Any]) -> TrialRecord:
        """What :meth:`dump` wrote."""
        progress = Progress.parse(tree["progress"])
        return cls(**{**tree, "progress": progress, "failures": tuple(tree["failures"])})

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"progress": self.progress.dump(), "failures": list(self.failures)}
