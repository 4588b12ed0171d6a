"""KID and FID are what the libraries and the formulas say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance

from wav2pix.evaluation.distances import FrechetDistance, KernelDistance
from wav2pix.evaluation.intervals import Recordings


class AsTheyAre(torch.nn.Module):
    num_features = 6

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 40, 6, generator=generator)
    return one * 1.3 + 0.4, other


ALL = np.ones(4, np.bool_)
GROUP = np.arange(40) % 4


def test_kid_is_torchmetrics_kid_of_everything_at_once(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    generated, real = features
    oracle = KernelInceptionDistance(AsTheyAre(), subsets=1, subset_size=40)
    oracle.set_dtype(torch.float64)
    oracle.update(real.double(), real=True)
    oracle.update(generated.double(), real=False)
    expected = float(oracle.compute()[0])
    assert KernelDistance(generated, real, GROUP, 4).of(ALL) == pytest.approx(expected, rel=1e-6)


def test_kid_without_a_group_is_the_kid_of_the_others(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    generated, real = features
    kept = np.array([True, False, True, True])
    chosen = torch.from_numpy(kept[GROUP])
    alone = KernelDistance(generated[chosen], real[chosen], np.zeros(30, int), 1).of(ALL[:1])
    assert KernelDistance(generated, real, GROUP, 4).of(kept) == pytest.approx(alone)


def test_kid_of_the_same_distribution_is_about_0_and_its_standard_error_says_how_nearly() -> None:
    values, errors = [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        one, other = torch.randn(2, 120, 6, generator=generator)
        recordings = Recordings(np.arange(120) % 15, 1, 0)
        kernel = KernelDistance(one, other, recordings.group, recordings.num_groups)
        measure = recordings.jackknife(kernel.of)
        assert measure is not None and measure.standard_error is not None
        values.append(measure.value)
        errors.append(measure.standard_error)
    assert abs(np.mean(values)) < 0.01
    assert 0.6 < np.mean(errors) / np.std(values) < 1.7


def test_kid_of_one_pair_is_no_number(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    generated, real = features
    assert np.isnan(KernelDistance(generated[:1], real[:1], np.zeros(1, int), 1).of(ALL[:1]))


def test_fid_is_the_distance_of_two_normal_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(20000, 3, generator=generator)
    generated = torch.randn(20000, 3, generator=generator) * 2 + 1
    # |mean|^2 + trace of (1 + 4 - 2 * 2) in three dimensions
    found = FrechetDistance(generated, real, np.zeros(20000, int)).of(ALL[:1])
    assert found == pytest.approx(3 + 3, rel=0.03)


def test_fid_leaves_torchs_random_numbers_alone(features: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    distance = FrechetDistance(*features, GROUP)
    first = distance.of(ALL)
    assert torch.equal(torch.rand(3), expected)
    distance.of(np.array([True, False, True, True]))
    assert distance.of(ALL) == first  # nothing is left of what was looked at before
