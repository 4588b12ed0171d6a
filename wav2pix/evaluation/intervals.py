"""How far to trust a measure: intervals over recordings, since two windows of one are no independent looks.

Means are resampled by the bootstrap of whole recordings, percentile method (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13; Davison and Hinkley, 1997, section 3.8 for clusters). Measures
that pairs drawn twice would spoil, such as distances between distributions, are left to the jackknife of
groups of recordings (Shao and Tu, "The Jackknife and Bootstrap", 1995, section 2.3), value plus and minus
Student's t times the standard error.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from wav2pix.evaluation.result import Measure

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

ENDS = (2.5, 97.5)
MAX_GROUPS = 20
# Replicates are computed in blocks so that their weights never fill the memory.
BLOCK = 256


class Recordings:
    """The recordings that N values belong to, and what resampling them does to a statistic.

    Attributes:
        label: (N,) 0 to R - 1, the recording of each value.
        count: R.
        group: (N,) the group of recordings that each value is left out with; there are ``num_groups``.
        resampled: whether there are intervals: they were asked for, and there are two recordings.
    """

    def __init__(self, recording: Labels, num_bootstrap: int, seed: int) -> None:
        _, self.label = np.unique(recording, return_inverse=True)
        self.count = int(self.label.max()) + 1
        self.num_groups = min(self.count, MAX_GROUPS)
        self.group = self.label % self.num_groups
        self.resampled = num_bootstrap > 0 and self.count > 1
        self._num_bootstrap = num_bootstrap
        self._seed = seed

    def mean(self, values: Values) -> Measure | None:
        """The mean of (N,) values; each value counts the same."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, above: Values, below: Values) -> Measure | None:
        """The sum of (N,) values over the sum of others."""
        tops, bottoms = self._sums(above), self._sums(below)
        return self.bootstrap(lambda weights: _divided(weights @ tops, weights @ bottoms))

    def balanced(self, values: Values, identity: Labels) -> Measure | None:
        """The mean over identities of the mean of their values; (N,) each."""
        size = (self.count, int(identity.max()) + 1)
        sums, counts = np.zeros(size), np.zeros(size)
        np.add.at(sums, (self.label, identity), values)
        np.add.at(counts, (self.label, identity), 1)

        def statistic(weights: Values) -> Values:
            numbers = weights @ counts
            means = _divided(weights @ sums, numbers, 0.0)
            averages: Values = means.sum(axis=1) / (numbers > 0).sum(axis=1)
            return averages

        return self.bootstrap(statistic)

    def bootstrap(self, statistic: Callable[[Values], Values]) -> Measure | None:
        """A statistic of how often each recording is drawn, with its percentile interval.

        Args:
            statistic: (B, R) weights of recordings to (B,) values, which may be NaN.

        Returns:
            None where the statistic is undefined on all recordings.
        """
        value = float(statistic(np.ones((1, self.count)))[0])
        if not np.isfinite(value):
            return None
        if not self.resampled:
            return Measure(value)
        generator = np.random.default_rng(self._seed)
        drawn = []
        for start in range(0, self._num_bootstrap, BLOCK):
            size = min(BLOCK, self._num_bootstrap - start)
            weights = generator.multinomial(self.count, np.full(self.count, 1 / self.count), size)
            drawn.append(statistic(weights.astype(np.float64)))
        replicates = np.concatenate(drawn)
        replicates = replicates[np.isfinite(replicates)]
        if len(replicates) < self._num_bootstrap / 2:  # most draws miss what the statistic is about
            return Measure(value)
        low, high = np.percentile(replicates, ENDS)
        return Measure(value, float(low), float(high), float(replicates.std(ddof=1)))

    def jackknife(self, statistic: Callable[[npt.NDArray[np.bool_]], float]) -> Measure | None:
        """A statistic of the groups that are kept, with an interval from leaving out each in turn.

        Args:
            statistic: (``num_groups``,) which groups are kept to a value, which may be NaN.

        Returns:
            None where the statistic is undefined on all recordings.
        """
        everything = np.ones(self.num_groups, np.bool_)
        value = statistic(everything)
        if not np.isfinite(value):
            return None
        if not self.resampled:
            return Measure(value)
        left = np.array([statistic(row) for row in ~np.eye(self.num_groups, dtype=np.bool_)])
        if not np.isfinite(left).all():
            return Measure(value)
        error = float(np.sqrt((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum()))
        reach = float(stdtrit(len(left) - 1, ENDS[1] / 100)) * error
        return Measure(value, value - reach, value + reach, error)

    def _sums(self, values: Values) -> Values:
        sums: Values = np.bincount(self.label, values, self.count).astype(np.float64)
        return sums


def _divided(above: Values, below: Values, otherwise: float = np.nan) -> Values:
    quotients: Values = np.divide(above, below, out=np.full_like(above, otherwise), where=below != 0)
    return quotients
