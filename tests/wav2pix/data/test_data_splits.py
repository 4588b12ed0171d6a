"""Whole recordings are dealt to the splits, each identity as near to 70/15/15 as they allow."""

from __future__ import annotations

import numpy as np
import pytest

from wav2pix.data.splits import split_pairs


def _data(sizes: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Identity and recording of each pair, given the sizes of the recordings of each identity."""
    identity = np.repeat(np.arange(len(sizes)), [sum(own) for own in sizes])
    flat = [size for own in sizes for size in own]
    return identity, np.repeat(np.arange(len(flat)), flat)


def _share(split: np.ndarray, name: str) -> float:
    return float((split == name).mean())


def test_the_shares_are_met_for_each_identity() -> None:
    rng = np.random.default_rng(0)
    identity, recording = _data([rng.integers(2, 40, 30).tolist() for _ in range(4)])
    split = split_pairs(identity, recording, seed=0)
    for one in range(4):
        assert _share(split[identity == one], "train") == pytest.approx(0.70, abs=0.02)
        assert _share(split[identity == one], "validation") == pytest.approx(0.15, abs=0.02)


def test_no_recording_is_in_two_splits() -> None:
    identity, recording = _data([[5, 9, 2, 30, 7], [11, 3, 3, 8]])
    split = split_pairs(identity, recording, seed=3)
    assert all(len(set(split[recording == one])) == 1 for one in range(9))


@pytest.mark.parametrize("sizes", [[1, 1, 1], [100, 1, 1], [10, 10, 10], [5, 5, 5, 5]])
def test_three_recordings_are_enough_for_every_split(sizes: list[int]) -> None:
    identity, recording = _data([sizes, [4, 4, 4]])
    split = split_pairs(identity, recording, seed=0)
    for one in (0, 1):
        assert set(split[identity == one]) == {"train", "validation", "test"}


def test_fewer_recordings_go_to_training_first() -> None:
    identity, recording = _data([[5], [5, 3], [4, 4, 4]])
    split = split_pairs(identity, recording, seed=0)
    assert set(split[identity == 0]) == {"train"}
    assert set(split[identity == 1]) == {"train", "validation"}


def test_the_largest_recordings_are_for_training() -> None:
    identity, recording = _data([[496, 278, 64, 50, 30, 20, 10, 8], [10, 10, 10]])
    split = split_pairs(identity, recording, seed=0)
    assert set(split[recording <= 1]) == {"train"}


def test_recordings_that_share_something_stay_together() -> None:
    identity, recording = _data([[4] * 12, [4] * 12])
    together = [(0, 1), (1, 2), (13, 20)]
    for seed in range(5):
        split = split_pairs(identity, recording, seed=seed, inseparable=together)
        assert len(set(split[recording <= 2])) == 1
        assert len(set(split[(recording == 13) | (recording == 20)])) == 1


def test_identities_that_share_recordings_all_reach_every_split() -> None:
    recording = np.repeat(np.arange(12), 4)
    identity = np.tile([0, 1], 24)  # every recording has both
    split = split_pairs(identity, recording, seed=0)
    for one in (0, 1):
        assert set(split[identity == one]) == {"train", "validation", "test"}


def test_a_seed_always_deals_alike_and_another_one_otherwise() -> None:
    identity, recording = _data([[4] * 20, [4] * 20])
    deals = [split_pairs(identity, recording, seed=seed).tolist() for seed in (0, 0, 1)]
    assert deals[0] == deals[1] != deals[2]
