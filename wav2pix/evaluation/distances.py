"""Distances between the features of generated and of real faces: KID and FID."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wav2pix.evaluation.intervals import Labels, Values

Kept = npt.NDArray[np.bool_]

BLOCK = 1024


class KernelDistance:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / C + 1)^3, on any groups of pairs.

    Binkowski et al., "Demystifying MMD GANs" (2018), equation 4, which made it known as KID. All pairs are used
    at once; torchmetrics' value is the mean of the same estimate over random subsets.

    Args:
        generated: (N, C) features and ``real`` (N, C).
        group: (N,) 0 to ``num_groups`` - 1.
    """

    def __init__(self, generated: Tensor, real: Tensor, group: Labels, num_groups: int) -> None:
        one, other = (features.double().numpy() for features in (generated, real))
        places = np.eye(num_groups)[group]
        self._counts = places.sum(axis=0)
        self._both = _kernel_sums(one, other, places)
        self._each = [
            (_kernel_sums(features, features, places), places.T @ _kernel((features**2).sum(axis=1), features))
            for features in (one, other)
        ]

    def of(self, kept: Kept) -> float:
        """The distance over the pairs of the groups that are kept; NaN for fewer than two pairs."""
        weights = kept.astype(np.float64)
        num = float(weights @ self._counts)
        if num < 2:
            return float("nan")
        within = sum(weights @ table @ weights - weights @ own for table, own in self._each)
        return float(within / (num * (num - 1)) - 2 * (weights @ self._both @ weights) / num**2)


class FrechetDistance:
    """Frechet distance of two normal distributions of features, by torchmetrics, on any groups of pairs.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), equation 6. The arguments are those of
    :class:`KernelDistance`.
    """

    def __init__(self, generated: Tensor, real: Tensor, group: Labels) -> None:
        # Its import takes seconds, which a run that does not ask for this measure need not spend.
        from torchmetrics.image.fid import FrechetInceptionDistance  # noqa: PLC0415

        self._generated, self._real, self._group = generated, real, group
        self._distance = FrechetInceptionDistance(_AsTheyAre(generated.shape[1]))

    def of(self, kept: Kept) -> float:
        """The distance over the pairs of the groups that are kept; NaN for fewer than two pairs."""
        chosen = torch.from_numpy(kept[self._group])
        if int(chosen.sum()) < 2:
            return float("nan")
        self._distance.reset()
        self._distance.update(self._real[chosen].double(), real=True)
        self._distance.update(self._generated[chosen].double(), real=False)
        return float(self._distance.compute())


class _AsTheyAre(torch.nn.Module):
    """The features are made already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features  # without it torchmetrics would draw a random picture to find out

    def forward(self, features: Tensor) -> Tensor:
        return features


def _kernel(products: Values, features: Values) -> Values:
    values: Values = (products / features.shape[1] + 1) ** 3
    return values


def _kernel_sums(one: Values, other: Values, places: Values) -> Values:
    """(groups, groups): the sums of the kernel over the pairs between groups."""
    sums = np.zeros((places.shape[1], places.shape[1]))
    for start in range(0, len(one), BLOCK):
        block = slice(start, start + BLOCK)
        sums += places[block].T @ _kernel(one[block] @ other.T, one) @ places
    return sums
