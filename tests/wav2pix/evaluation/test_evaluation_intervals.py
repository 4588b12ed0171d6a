"""Intervals hold what they promise: they come from recordings, and cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from wav2pix.evaluation.identity import shuffled_accuracy
from wav2pix.evaluation.intervals import Recordings
from wav2pix.evaluation.result import Measure


def made(recording: list[int] | np.ndarray, num_bootstrap: int = 1000) -> Recordings:
    return Recordings(np.asarray(recording), num_bootstrap, 0)


def bounds(measure: Measure | None) -> tuple[float, float]:
    assert measure is not None and measure.low is not None and measure.high is not None
    return measure.low, measure.high


def test_windows_that_say_the_same_do_not_narrow_an_interval() -> None:
    of_recording = np.random.default_rng(0).normal(size=12)
    once = bounds(made(np.arange(12)).mean(of_recording))
    often = bounds(made(np.repeat(np.arange(12), 50)).mean(np.repeat(of_recording, 50)))
    assert often == pytest.approx(once)


@pytest.mark.parametrize("how", ["bootstrap", "jackknife"])
def test_an_interval_covers_the_true_mean_about_95_times_of_100(how: str) -> None:
    generator = np.random.default_rng(1)
    label = np.repeat(np.arange(30), 8)
    covered = 0
    for _ in range(200):
        values = (generator.normal(size=30)[label] + generator.normal(size=240)) + 3
        recordings = made(label, 300)
        if how == "bootstrap":
            low, high = bounds(recordings.mean(values))
        else:
            low, high = bounds(
                recordings.jackknife(lambda kept, v=values, r=recordings: float(v[kept[r.group]].mean()))
            )
        covered += low < 3 < high
    assert 0.88 < covered / 200 < 0.99


def test_the_jackknife_of_a_mean_is_its_textbook_standard_error() -> None:
    values = np.random.default_rng(2).normal(size=15)
    recordings = made(np.arange(15))
    measure = recordings.jackknife(lambda kept: float(values[kept[recordings.group]].mean()))
    assert measure is not None
    assert measure.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(15))
    low, high = bounds(measure)
    assert high - low == pytest.approx(2 * 2.1448 * values.std(ddof=1) / np.sqrt(15), rel=1e-4)


def test_the_bootstrap_is_the_same_as_drawing_recordings_by_hand() -> None:
    label = np.array([0, 0, 0, 1, 1, 2])
    values = np.array([1.0, 2, 3, 10, 20, 40])
    identity = np.array([0, 0, 0, 0, 0, 1])
    weights = np.array([[2.0, 1, 0], [0, 1, 1], [1, 1, 1]])
    pairs = [np.repeat(np.arange(6), row[label].astype(int)) for row in weights]
    seen: list[np.ndarray] = []
    recordings = made(label)
    recordings.bootstrap = lambda statistic: seen.append(statistic(weights))  # type: ignore[assignment, method-assign, return-value]
    recordings.mean(values)
    recordings.balanced(values, identity)
    recordings.ratio(values, values**2)
    means, balanced, ratios = seen
    assert means == pytest.approx([values[chosen].mean() for chosen in pairs])
    assert ratios == pytest.approx([values[chosen].sum() / (values[chosen] ** 2).sum() for chosen in pairs])
    by_hand = [
        np.mean([values[chosen][identity[chosen] == one].mean() for one in set(identity[chosen])])
        for chosen in pairs
    ]
    assert balanced == pytest.approx(by_hand)


def test_one_recording_gives_no_interval() -> None:
    assert made([7, 7, 7]).mean(np.array([1.0, 2, 6])) == Measure(3.0)


def test_what_is_not_defined_is_no_measure() -> None:
    assert made([0, 1]).ratio(np.ones(2), np.zeros(2)) is None
    assert made([0, 1]).jackknife(lambda _: float("nan")) is None


def test_a_quick_look_has_no_interval() -> None:
    assert made([0, 1, 2], num_bootstrap=0).mean(np.array([1.0, 2, 6])) == Measure(3.0)


@pytest.mark.parametrize("deaf", ["always the commonest speaker", "by the face's own recording"])
def test_shuffled_speech_reaches_chance_however_unevenly_pairs_are_shared_out(deaf: str) -> None:
    generator = np.random.default_rng(3)
    identity = np.repeat([0, 1, 2], [900, 80, 20])
    recording = np.arange(1000) // 10
    guess = generator.integers(3, size=100)
    named = np.zeros(1000, int) if deaf.startswith("always") else guess[recording]
    shuffled = shuffled_accuracy(named, identity, made(recording), 2000, 0)
    assert shuffled.value == pytest.approx(1 / 3, abs=0.02)
    low, high = bounds(shuffled)
    assert low <= 1 / 3 <= high
    # The share over all pairs would call the first of these guesses far better than chance.
    assert deaf != "always the commonest speaker" or (named == identity).mean() == 0.9


def test_a_model_that_draws_by_recording_has_a_wider_control_than_one_that_draws_by_window() -> None:
    generator = np.random.default_rng(4)
    identity, recording = np.repeat([0, 1], 200), np.arange(400) // 40
    widths = [
        np.subtract(*bounds(shuffled_accuracy(named, identity, made(recording), 1000, 0)))
        for named in (generator.integers(2, size=400), identity)
    ]
    assert abs(widths[1]) > 2 * abs(widths[0])
