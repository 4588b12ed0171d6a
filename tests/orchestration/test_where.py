"""``--where``: which trials to look at."""

from __future__ import annotations

import math
from typing import Any

import pytest

from orchestration.errors import SweepError
from orchestration.records import Progress, TrialRecord
from orchestration.where import kept


def trial(number: int, l1: float | None = None, **params: Any) -> TrialRecord:
    metrics = {} if l1 is None else {"l1": l1, "kid": 2 * l1}
    named = {key.replace("__", "."): value for key, value in params.items()}
    return TrialRecord(number, "complete", named, Progress(1, 1, (), metrics))


TRIALS = [
    trial(0, 0.1, optimizer__lr_generator=1e-4, loss__adversarial="hinge", channels=[8, 16], ema=True),
    trial(
        1, 0.2, optimizer__lr_generator=2e-4, loss__adversarial="least_squares", channels=[16, 32], ema=False
    ),
    trial(2, 0.3, optimizer__lr_generator=1e-3, loss__adversarial="hinge", loss__real_label=0.9, ema=None),
    trial(3, optimizer__lr_generator=5e-4, loss__adversarial="two words"),
    trial(4, math.nan, optimizer__lr_generator=64),
]


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("metrics.l1 < 0.2", [0]),
        ("metrics.l1 <= 0.2", [0, 1]),
        ("metrics.l1>=.2", [1, 2]),
        ("metrics.l1 = 0.2", [1]),
        ("metrics.l1 == 2e-1", [1]),
        ("metrics.l1 != 0.2", [0, 2]),
        ("metrics.l1 < 0.25 and params.optimizer.lr_generator > 1e-4", [1]),
        ("metrics.l1 < 1 AND metrics.kid > 0.3 and params.loss.adversarial = hinge", [2]),
        ("params.loss.adversarial != hinge", [1, 3]),
        ("params.loss.adversarial = 'two words'", [3]),
        ('params.channels = "[8, 16]"', [0]),
        ("params.ema = true", [0]),
        ("params.ema != true", [1, 2]),
        ("params.ema = null", [2]),
        ("params.loss.real_label > 0", [2]),
        ("params.loss.real_label != 0.9", []),
        ("params.optimizer.lr_generator = 64", [4]),
        ("params.ema > 0", []),
    ],
)
def test_conditions_choose_trials(where: str, numbers: list[int]) -> None:
    assert [record.number for record in kept(TRIALS, where)] == numbers


def test_without_conditions_all_trials_are_kept() -> None:
    assert kept(TRIALS, None) == TRIALS


@pytest.mark.parametrize(
    ("where", "column", "what"),
    [
        ("", 1, "expected metrics.NAME or params.NAME, not the end"),
        ("l1 < 0.2", 1, "expected metrics.NAME or params.NAME, not l1"),
        ("metrics. < 0.2", 1, "expected metrics.NAME or params.NAME, not metrics."),
        ("metrics.l1", 11, "expected one of < <= > >= = == !=, not the end"),
        ("metrics.l1 is 3", 12, "expected one of < <= > >= = == !=, not is"),
        ("metrics.l1 =< 3", 12, "no operator =<; there are"),
        ("metrics.l1 <", 13, "expected a value, not the end"),
        ("metrics.l1 < low", 14, "< needs a number, not low"),
        ("metrics.l1 < nan", 14, "< needs a number, not nan"),
        ("metrics.l1 < 1 or metrics.kid < 1", 16, "expected 'and' or the end, not or"),
        ("metrics.l1 < 1 metrics.kid < 1", 16, "expected 'and' or the end, not metrics.kid"),
        ("metrics.l1 < 1 and", 19, "expected metrics.NAME or params.NAME, not the end"),
        ("params.loss.adversarial = 'hinge", 27, "a quote is not closed"),
        ("metrics.l1 < __import__('os').getpid()", 14, "< needs a number, not __import__("),
        ("metrics.l2 < 1", 1, "no metric 'l2'; there are l1, kid"),
        ("metrics.kdi < 1", 1, "no metric 'kdi'; did you mean 'kid'?"),
        ("metrics.l1 < 1 and params.lr_generator > 0", 20, "did you mean 'optimizer.lr_generator'?"),
        (
            "params.batch = 3",
            1,
            "no searched setting 'batch'; there are optimizer.lr_generator, loss.adversarial",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(where: str, column: int, what: str) -> None:
    with pytest.raises(SweepError) as caught:
        kept(TRIALS, where)
    assert str(caught.value).startswith(f'--where "{where}", character {column}: ')
    assert what in str(caught.value)


def test_before_anything_is_measured_nothing_is_kept_and_nothing_is_wrong() -> None:
    assert kept([], "metrics.l1 < 1") == []
    assert kept([trial(0)], "metrics.l1 < 1") == []
