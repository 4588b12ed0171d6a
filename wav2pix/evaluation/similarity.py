"""Likeness of faces by the cosine of their embeddings: retrieval, verification, consistency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from wav2pix.evaluation.intervals import Labels, Recordings, Values
from wav2pix.evaluation.result import Cosines, Measure

# Queries are compared with the gallery in blocks so that the table of cosines never fills the memory.
BLOCK = 512
NUM_DRAWN = 5000
# Cosines nearer to each other than this are equal but for rounding.
EQUAL = 1e-6


@dataclass(frozen=True)
class Gallery:
    """F different real faces that are looked through.

    Attributes:
        directions: (F, C) unit vectors.
        identity: (F,) 0 to K - 1; each of the K occurs.
        recording: (F,) of each.
    """

    directions: npt.NDArray[np.float32]
    identity: Labels
    recording: Labels


def directions(features: Tensor) -> npt.NDArray[np.float32]:
    """(N, C) features as unit vectors."""
    unit: npt.NDArray[np.float32] = F.normalize(features.float(), dim=1).numpy()
    return unit


def face_ranks(queries: npt.NDArray[np.float32], identity: Labels, gallery: Gallery) -> Values:
    """(N,) the place of the first face of the speaker among all of the gallery by cosine, from 1.

    A face of somebody else that is as near comes first, so that one picture for everybody, to which
    all real faces are equally near, wins nothing.
    """
    ranks = np.empty(len(queries))
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        cosines = queries[block] @ gallery.directions.T
        own = identity[block, None] == gallery.identity
        best = np.where(own, cosines, -np.inf).max(axis=1, keepdims=True)
        ranks[block] = 1 + (~own & (cosines >= best - EQUAL)).sum(axis=1)
    return ranks


def speaker_ranks(queries: npt.NDArray[np.float32], identity: Labels, gallery: Gallery) -> Values:
    """(N,) the place of the speaker among the K when sorted by the cosine with their mean direction, from 1."""
    means = np.zeros((int(gallery.identity.max()) + 1, gallery.directions.shape[1]), np.float32)
    np.add.at(means, gallery.identity, gallery.directions)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    cosines = queries @ means.T
    own = cosines[np.arange(len(queries)), identity][:, None]
    others = np.arange(len(means)) != identity[:, None]
    ranks: Values = 1.0 + (others & (cosines >= own - EQUAL)).sum(axis=1)
    return ranks


def recall_by_chance(k: int, identity: Labels, gallery: Gallery) -> Values:
    """(N,) the probability that a face of the speaker is among the first k of the gallery in random order."""
    own = np.bincount(gallery.identity)
    misses = np.ones(len(own))
    total = len(gallery.identity)
    for place in range(min(k, total)):
        misses *= np.maximum(total - own - place, 0) / (total - place)
    return 1 - misses[identity]


def rank_by_chance(identity: Labels, gallery: Gallery) -> Values:
    """(N,) the expected place of the first face of the speaker in random order: (F + 1) / (own + 1)."""
    own = np.bincount(gallery.identity)
    ranks: Values = (len(gallery.identity) + 1) / (own[identity] + 1)
    return ranks


class PairCosines:
    """Mean cosines of two different faces out of N, by what the two have in common.

    The sum of the cosines of all pairs between two sets of unit vectors is the inner product of their sums, so
    a table of recordings by recordings holds all that any mean over pairs needs.

    Args:
        vectors: (N, C) unit vectors.
        identity: (N,) and ``recording`` (N,): of each.
        recordings: those of the evaluation; every ``recording`` is one of them.
    """

    def __init__(
        self, vectors: npt.NDArray[np.float32], identity: Labels, label: Labels, recordings: Recordings
    ) -> None:
        count = recordings.count
        sums = np.zeros((count, vectors.shape[1]))
        np.add.at(sums, label, vectors.astype(np.float64))
        sizes = np.bincount(label, minlength=count).astype(np.float64)
        speaker = np.full(count, -1)
        speaker[label] = identity
        same = speaker[:, None] == speaker
        self._within = ((sums**2).sum(axis=1) - sizes, sizes**2 - sizes)
        self._table, self._sizes, self._same = sums @ sums.T, np.outer(sizes, sizes), same
        self._recordings = recordings

    def within_recordings(self) -> Measure | None:
        """Two faces of one recording."""
        sums, counts = self._within
        return self._recordings.bootstrap(lambda weights: _quotient(weights @ sums, weights @ counts))

    def across_recordings(self) -> Measure | None:
        """Faces of two recordings of one speaker."""
        return self._between(self._same & ~np.eye(len(self._same), dtype=np.bool_))

    def across_speakers(self) -> Measure | None:
        """Faces of two speakers."""
        return self._between(~self._same)

    def of_speakers(self) -> Measure | None:
        """Two faces of one speaker, of one recording or of two."""
        sums, counts = self._within
        table = np.where(self._same, self._table, 0)
        sizes = np.where(self._same, self._sizes, 0)
        np.fill_diagonal(table, 0)
        np.fill_diagonal(sizes, 0)

        def statistic(weights: Values) -> Values:
            above = weights @ sums + ((weights @ table) * weights).sum(axis=1)
            return _quotient(above, weights @ counts + ((weights @ sizes) * weights).sum(axis=1))

        return self._recordings.bootstrap(statistic)

    def _between(self, chosen: npt.NDArray[np.bool_]) -> Measure | None:
        table, sizes = np.where(chosen, self._table, 0), np.where(chosen, self._sizes, 0)

        def statistic(weights: Values) -> Values:
            above = ((weights @ table) * weights).sum(axis=1)
            return _quotient(above, ((weights @ sizes) * weights).sum(axis=1))

        return self._recordings.bootstrap(statistic)


def drawn_cosines(generated: Values, gallery: Gallery, seed: int) -> Cosines:
    """The cosines of generated and real faces beside those of random pairs of real ones."""
    generator = np.random.default_rng(seed)
    one, other = generator.integers(len(gallery.identity), size=(2, 20 * NUM_DRAWN))
    same = gallery.identity[one] == gallery.identity[other]
    parts = []
    for chosen in (same & (one != other), ~same):
        first, second = one[chosen][:NUM_DRAWN], other[chosen][:NUM_DRAWN]
        parts.append((gallery.directions[first] * gallery.directions[second]).sum(axis=1, dtype=np.float64))
    return Cosines(generated, *parts)


def _quotient(above: Values, below: Values) -> Values:
    quotients: Values = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return quotients
