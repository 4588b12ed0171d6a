"""What is known of a trial, as plain values."""

from __future__ import annotations

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
        seconds: that the epochs took.
    """

    epochs: int = 0
    epoch: int = 0
    values: tuple[float, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def parse(cls, tree: dict[str, Any]) -> Progress:
        """What :meth:`dump` wrote."""
        return cls(**{**tree, "values": tuple(tree["values"])})

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"values": list(self.values)}


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a sweep.

    Attributes:
        number: from 0, in the order of being asked for.
        params: values of the searched settings that exist in this trial.
        reason: why it failed.
    """

    number: int
    state: State
    params: dict[str, Any]
    progress: Progress = Progress()
    reason: str = ""

    @property
    def has_value(self) -> bool:
        """Whether it has an epoch to be judged by. One that still runs may replace its best at any moment."""
        return bool(self.progress.values) and self.state in ("complete", "pruned")
