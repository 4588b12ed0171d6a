"""Retrieval, verification and consistency are what a loop over all pairs would find."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from wav2pix.evaluation.intervals import Recordings
from wav2pix.evaluation.result import Measure
from wav2pix.evaluation.similarity import (
    Gallery,
    PairCosines,
    directions,
    drawn_cosines,
    face_ranks,
    rank_by_chance,
    recall_by_chance,
    speaker_ranks,
)

IDENTITY = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
RECORDING = np.array([0, 0, 1, 1, 2, 2, 2, 3, 4])


@pytest.fixture
def vectors() -> np.ndarray:
    return directions(torch.from_numpy(np.random.default_rng(0).normal(size=(9, 5))))


def test_the_rank_is_the_place_of_the_first_face_of_the_speaker(vectors: np.ndarray) -> None:
    gallery = Gallery(vectors, IDENTITY, RECORDING)
    queries = directions(torch.from_numpy(np.random.default_rng(1).normal(size=(700, 5))))
    wanted = np.arange(700) % 3
    ranks = face_ranks(queries, wanted, gallery)
    for query, identity, rank in zip(queries, wanted, ranks, strict=True):
        order = np.argsort(-(vectors @ query))
        assert rank == 1 + np.flatnonzero(IDENTITY[order] == identity)[0]


def test_a_face_that_is_a_real_one_of_the_speaker_comes_first(vectors: np.ndarray) -> None:
    gallery = Gallery(vectors, IDENTITY, RECORDING)
    assert face_ranks(vectors, IDENTITY, gallery).tolist() == [1] * 9


def test_where_all_faces_are_equally_near_nobody_is_found(vectors: np.ndarray) -> None:
    gallery = Gallery(np.repeat(vectors[:1], 9, axis=0), IDENTITY, RECORDING)
    assert face_ranks(vectors, IDENTITY, gallery).tolist() == [6, 6, 6, 6, 7, 7, 7, 8, 8]
    assert speaker_ranks(vectors, IDENTITY, gallery).min() > 1


def test_chance_is_what_random_orders_give() -> None:
    generator = np.random.default_rng(2)
    gallery = Gallery(np.zeros((9, 5), np.float32), IDENTITY, RECORDING)
    wanted = np.array([0, 1, 2])
    first = np.array(
        [[np.flatnonzero(order == one)[0] + 1 for one in wanted]
         for order in (generator.permutation(IDENTITY) for _ in range(20000))]
    )  # fmt: skip
    assert rank_by_chance(wanted, gallery) == pytest.approx(first.mean(axis=0), abs=0.03)
    for k in (1, 5, 10):
        assert recall_by_chance(k, wanted, gallery) == pytest.approx((first <= k).mean(axis=0), abs=0.015)


def test_the_speaker_is_found_by_the_mean_of_the_faces() -> None:
    corners = np.eye(3, dtype=np.float32)
    gallery = Gallery(corners[[0, 0, 1, 2]], np.array([0, 0, 1, 2]), np.arange(4))
    query = directions(torch.tensor([[0.2, 0.9, 0.5]])).repeat(3, axis=0)
    assert speaker_ranks(query, np.array([0, 1, 2]), gallery).tolist() == [3, 1, 2]


def by_hand(vectors: np.ndarray, wanted: str) -> float:
    """The mean cosine of all pairs of a kind."""
    found = []
    for a, b in combinations(range(9), 2):
        same, together = IDENTITY[a] == IDENTITY[b], RECORDING[a] == RECORDING[b]
        kind = {"speaker": same, "recording": together, "recordings": same and not together, "two": not same}
        if kind[wanted]:
            found.append(float(vectors[a] @ vectors[b]))
    return float(np.mean(found))


def test_means_over_pairs_are_those_of_a_loop(vectors: np.ndarray) -> None:
    recordings = Recordings(RECORDING, 0, 0)
    cosines = PairCosines(vectors, IDENTITY, recordings.label, recordings)
    found = {
        "speaker": cosines.of_speakers(),
        "recording": cosines.within_recordings(),
        "recordings": cosines.across_recordings(),
        "two": cosines.across_speakers(),
    }
    for kind, measure in found.items():
        assert measure is not None and measure.value == pytest.approx(by_hand(vectors, kind)), kind


def test_one_picture_for_everybody_is_as_alike_over_speakers_as_within_a_recording() -> None:
    recordings = Recordings(RECORDING, 100, 0)
    vectors = np.repeat(np.array([[0.6, 0.8]], np.float32), 9, axis=0)
    cosines = PairCosines(vectors, IDENTITY, recordings.label, recordings)
    for measure in (cosines.within_recordings(), cosines.across_recordings(), cosines.across_speakers()):
        assert measure is not None and measure.value == pytest.approx(1)
        assert measure.low == pytest.approx(1) and measure.high == pytest.approx(1)


def test_a_speaker_with_one_recording_has_no_likeness_over_recordings(vectors: np.ndarray) -> None:
    recordings = Recordings(np.array([0, 0, 1, 1]), 100, 0)
    cosines = PairCosines(vectors[:4], np.array([0, 0, 1, 1]), recordings.label, recordings)
    assert cosines.across_recordings() is None
    assert isinstance(cosines.across_speakers(), Measure)


def test_the_drawn_pairs_show_both_kinds(vectors: np.ndarray) -> None:
    drawn = drawn_cosines(np.ones(9), Gallery(vectors, IDENTITY, RECORDING), 0)
    assert len(drawn.same) == len(drawn.different) == 5000
    assert drawn.same.max() < 1 - 1e-6  # a face is no pair with itself
    one = Gallery(vectors, np.zeros(9, int), RECORDING)
    assert len(drawn_cosines(np.ones(9), one, 0).different) == 0
