"""``wav2pix sweep best``: which trial, why, where its checkpoint is, and what it takes to train it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from orchestration import results, tables
from orchestration.checks import trial_config
from orchestration.driver import Result
from orchestration.export import checkpoint_place
from orchestration.records import TrialRecord
from orchestration.where import kept


@dataclass(frozen=True)
class Choice:
    """A best trial.

    Attributes:
        checkpoint: where the checkpoint of its best epoch is.
        seed: of its training.
        sampler_seed: of the sampler that chose its settings, with the trial's number.
    """

    record: TrialRecord
    checkpoint: str
    seed: int
    sampler_seed: int


@dataclass(frozen=True)
class Best:
    """The answer.

    Attributes:
        choices: one trial, or with several objectives all that none beats.
        margin: to the next trial.
    """

    choices: tuple[Choice, ...]
    why: str
    margin: results.Margin | None


def find_best(result: Result, where: str | None = None) -> Best:
    """The best trial of those that ``where`` lets through.

    Raises:
        SweepError: ``where`` is no condition.
    """
    goals = result.spec.goals
    records = kept(result.records, where)
    choices = [
        Choice(
            record,
            checkpoint_place(result, record),
            trial_config(result.spec, record.params).seed,
            result.spec.seed,
        )
        for record in results.best(records, goals)
    ]
    return Best(tuple(choices), results.why(records, goals, where), results.margin(records, goals))


def dump(best: Best, result: Result) -> dict[str, Any]:
    """For JSON."""
    rows = {row.trial: row.dump() for row in tables.comparison(result)}
    margin = best.margin
    return {
        "best": [
            rows[choice.record.number]
            | {"checkpoint": choice.checkpoint, "seed": choice.seed, "sampler_seed": choice.sampler_seed}
            for choice in best.choices
        ],
        "why": best.why,
        "objectives": [goal.model_dump() for goal in result.spec.goals],
        "next": {"trial": margin.trial, "margin": margin.value} if margin else None,
    }


def show(best: Best, result: Result, console: Console) -> None:
    """For a person."""
    numbers = ", ".join(str(choice.record.number) for choice in best.choices)
    what = f"trial {numbers}: {best.why}" if best.choices else best.why
    console.print(f"Best: {what}.", highlight=False, markup=False, soft_wrap=True)
    for choice in best.choices:
        record = choice.record
        lines = {
            "objective": ", ".join(
                f"{goal.metric} {value:.6g}"
                for goal, value in zip(result.spec.goals, record.progress.values, strict=True)
            ),
            "epoch": f"{record.progress.epoch} of {record.progress.epochs}",
            "checkpoint": choice.checkpoint,
            "seeds": f"training {choice.seed}, sampler {choice.sampler_seed}",
            "settings": ", ".join(f"{key} {value}" for key, value in record.params.items()),
        }
        console.print(f"trial {record.number}", highlight=False)
        for name, text in lines.items():
            console.print(f"  {name:<11} {text}", highlight=False, markup=False, soft_wrap=True)
    if best.choices:
        tables.print_where(result, console)
