"""Measures of the pictures themselves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from wav2pix.evaluation.judge import Judge


def sharpness(faces: Tensor) -> Tensor:
    """(N, 3, S, S) faces to (N,): the variance of the Laplacian of the grey picture."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    edges = F.conv2d(faces.mean(dim=1, keepdim=True), kernel[None, None])
    return edges.flatten(1).var(dim=1)


def diversity(faces: Tensor, identities: Tensor) -> float:
    """Standard deviation of the faces of one identity, mean over pixels and identities."""
    groups = [faces[identities == identity] for identity in identities.unique()]
    return float(torch.stack([group.std(dim=0, unbiased=False).mean() for group in groups]).mean())


def perceptual_distance(judge: Judge, one: Tensor, other: Tensor) -> Tensor:
    """(N, 3, S, S) faces and others to (N,) distances.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features" (2018), equation 1 with every weight 1: the
    maps of each layer are normalised to unit length over channels, the squared differences are summed over
    channels, averaged over places and summed over layers.
    """
    distances = []
    for faces, others in zip(one.split(64), other.split(64), strict=True):
        layers = zip(judge.maps(faces), judge.maps(others), strict=True)
        gaps = [(F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1) for a, b in layers]
        distances.append(torch.stack([gap.mean(dim=(1, 2)) for gap in gaps]).sum(dim=0))
    return torch.cat(distances)
