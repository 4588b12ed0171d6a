"""Which trial is best, and how trials compare."""

from __future__ import annotations

import math

from orchestration.records import Progress, State, TrialRecord
from orchestration.results import Margin, best, compare, margin, why
from orchestration.spec import Objective

L1 = Objective(metric="l1", direction="minimize")
SHARPNESS = Objective(metric="sharpness", direction="maximize")


def trial(number: int, *values: float, state: State = "complete", **params: object) -> TrialRecord:
    return TrialRecord(number, state, params, Progress(4, 3 if values else 0, values, {}, {"": 1.0}))


def test_trials_are_listed_from_best_to_worst_and_those_without_a_value_last() -> None:
    records = [
        trial(0, 0.3),
        trial(1, state="failed"),
        trial(2, 0.1),
        trial(3, 0.2, state="pruned"),
        trial(4, 0.05, state="running"),
    ]
    assert [row.trial for row in compare(records, [L1])] == [2, 3, 0, 1, 4]
    assert [row.trial for row in compare(records, [Objective(metric="l1", direction="maximize")])] == [
        0,
        3,
        2,
        1,
        4,
    ]


def test_only_parameters_that_differ_are_shown() -> None:
    records = [trial(0, 0.3, a=1, b="x"), trial(1, 0.2, a=2, b="x"), trial(2, 0.1, a=2, b="x", c=0.5)]
    assert [set(row.params) for row in compare(records, [L1])] == [{"a", "c"}, {"a"}, {"a"}]


def test_the_best_says_why_with_epoch_and_margin() -> None:
    records = [trial(0, 0.3), trial(1, 0.1), trial(2, 0.15)]
    assert [record.number for record in best(records, [L1])] == [1]
    assert why(records, [L1]) == "its l1 of 0.1 in epoch 3 is the lowest, by 0.05 before trial 2"


def test_the_margin_to_the_next_trial_is_told() -> None:
    records = [trial(0, 0.75), trial(1, 0.25), trial(2, 0.5), trial(3, 0.125, state="running")]
    assert margin(records, [L1]) == Margin(trial=2, value=0.25)
    assert margin(records[:1], [L1]) is None
    assert margin([trial(0, 0.1, 0.2), trial(1, 0.2, 0.1)], [L1, SHARPNESS]) is None


def test_what_trials_were_chosen_by_is_part_of_the_reason() -> None:
    records = [trial(0, 0.3), trial(1, 0.1)]
    chosen = why(records, [L1], "metrics.kid < 1")
    assert (
        chosen
        == "its l1 of 0.1 in epoch 3 is the lowest among trials with metrics.kid < 1, by 0.2 before trial 0"
    )
    assert why([], [L1], "metrics.kid < 1") == "no finished trial fulfils metrics.kid < 1"


def test_a_trial_that_runs_or_failed_is_never_the_best() -> None:
    records = [trial(0, 0.01, state="running"), trial(1, 0.02, state="failed"), trial(2, 0.3)]
    assert [record.number for record in best(records, [L1])] == [2]
    assert best(records[:2], [L1]) == []
    assert why(records[:2], [L1]) == "no trial is finished yet"


def test_several_objectives_give_the_pareto_set() -> None:
    records = [
        trial(0, 0.1, 0.2),
        trial(1, 0.2, 0.6),
        trial(2, 0.2, 0.5),
        trial(3, 0.3, 0.6),
        trial(4, 0.1, 0.2),
    ]
    assert [record.number for record in best(records, [L1, SHARPNESS])] == [0, 4, 1]


def test_nothing_that_is_no_number_is_better() -> None:
    assert not L1.better(math.nan, 0.5)
    assert not SHARPNESS.better(math.nan, 0.5)
