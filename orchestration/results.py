"""Which trial is best, and how trials compare: pure functions over records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.records import TrialRecord
from orchestration.spec import Objective, Resources

# Shown beside the objective where a trial has them: the measure and what it must be seen beside.
SHOWN = ("kid", "identity_accuracy", "l1", "l1_mean_face", "sharpness", "diversity")


@dataclass(frozen=True)
class Row:
    """One line of a comparison."""

    trial: int
    state: str
    epoch: int
    epochs: int
    values: dict[str, float]
    metrics: dict[str, float]
    params: dict[str, Any]
    seconds: float
    failures: int
    losses: int
    reason: str

    def dump(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.__dict__)


def compare(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[Row]:
    """Trials from best to worst, then those without a value; only the parameters that differ."""
    differing = _differing(records)
    return [
        Row(
            trial=record.number,
            state=record.state,
            epoch=record.progress.epoch,
            epochs=record.progress.epochs,
            values=dict(zip((goal.metric for goal in goals), record.progress.values, strict=False)),
            metrics={key: record.progress.metrics[key] for key in SHOWN if key in record.progress.metrics},
            params={key: record.params[key] for key in differing if key in record.params},
            seconds=round(record.progress.seconds, 1),
            failures=len(record.failures),
            losses=record.losses,
            reason=record.reason,
        )
        for record in ranked(records, goals)
    ]


def ranked(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[TrialRecord]:
    """By the first objective, best first; trials with no value, or a failure, at the end."""
    sign = -1.0 if goals[0].direction == "maximize" else 1.0
    return sorted(
        records,
        key=lambda record: (
            not record.has_value,
            sign * record.progress.values[0] if record.has_value else 0.0,
            record.number,
        ),
    )


def best(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> list[TrialRecord]:
    """The best trial, or with several objectives all that no other beats in every one: the Pareto set."""
    candidates = [record for record in ranked(records, goals) if record.has_value]
    if len(goals) == 1:
        return candidates[:1]
    return [
        record for record in candidates if not any(_dominates(other, record, goals) for other in candidates)
    ]


@dataclass(frozen=True)
class Margin:
    """How far the best trial is before the next one, by the one objective."""

    trial: int
    value: float


def margin(records: Sequence[TrialRecord], goals: Sequence[Objective]) -> Margin | None:
    """None with several objectives, or without a second trial."""
    leading = [record for record in ranked(records, goals) if record.has_value][:2]
    if len(leading) < 2 or len(goals) > 1:
        return None
    first, second = leading
    return Margin(second.number, abs(second.progress.values[0] - first.progress.values[0]))


def why(records: Sequence[TrialRecord], goals: Sequence[Objective], where: str | None = None) -> str:
    """What makes the best trial the best, in a sentence; ``where`` is what these records were chosen by."""
    winners = best(records, goals)
    if not winners:
        return f"no finished trial fulfils {where}" if where else "no trial is finished yet"
    among = f" among trials with {where}" if where else ""
    if len(goals) > 1:
        names = ", ".join(goal.metric for goal in goals)
        return f"no other trial{among} is at least as good in all of {names} and better in one"
    goal, winner = goals[0], winners[0]
    text = f"its {goal.metric} of {winner.progress.values[0]:.4g} in epoch {winner.progress.epoch} is the "
    text += ("lowest" if goal.direction == "minimize" else "highest") + among
    if (before := margin(records, goals)) is not None:
        text += f", by {before.value:.2g} before trial {before.trial}"
    return text


def summary(record: TrialRecord, goals: Sequence[Objective]) -> dict[str, float]:
    """The best trial's objectives, as metrics of the sweep."""
    return {f"best_{goal.metric}": value for goal, value in zip(goals, record.progress.values, strict=True)}


def gpu_seconds(records: Sequence[TrialRecord], resources: Resources) -> float:
    """That trials trained, times the GPUs that each of them has."""
    return resources.gpus * sum(record.progress.seconds for record in records)


def _dominates(one: TrialRecord, other: TrialRecord, goals: Sequence[Objective]) -> bool:
    pairs = list(zip(goals, one.progress.values, other.progress.values, strict=True))
    return not any(goal.better(theirs, ours) for goal, ours, theirs in pairs) and any(
        goal.better(ours, theirs) for goal, ours, theirs in pairs
    )


def _differing(records: Sequence[TrialRecord]) -> list[str]:
    keys = list(dict.fromkeys(key for record in records for key in record.params))
    if len(records) < 2:
        return keys
    return [key for key in keys if len({repr(record.params.get(key, "-")) for record in records}) > 1]
