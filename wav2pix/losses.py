"""The terms of the two losses, each a pure function of scores, features or pictures.

Sources: least squares GAN (Mao et al., 2017) with the matching-aware third term of Reed et al. (2016), as in
Wav2Pix, equations 1 and 2; hinge loss (Lim and Ye, 2017); R1 (Mescheder et al., 2018).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Adversarial = Literal["least_squares", "hinge"]


def real_loss(score: Tensor, form: Adversarial, label: float = 1.0) -> Tensor:
    """Discriminator: matching real faces should score ``label`` (least squares) or at least 1 (hinge)."""
    return ((score - label) ** 2).mean() if form == "least_squares" else F.relu(1 - score).mean()


def fake_loss(score: Tensor, form: Adversarial) -> Tensor:
    """Discriminator: generated or mismatched faces should score 0 (least squares) or at most -1 (hinge)."""
    return (score**2).mean() if form == "least_squares" else F.relu(1 + score).mean()


def adversarial_loss(score: Tensor, form: Adversarial) -> Tensor:
    """Generator: generated faces should score as real ones do."""
    return ((score - 1) ** 2).mean() if form == "least_squares" else -score.mean()


def feature_matching_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Mean squared distance between the batch means of the discriminator's features, each (B, ...)."""
    return F.mse_loss(fake.mean(dim=0), real.mean(dim=0))


def r1_penalty(score: Tensor, faces: Tensor) -> Tensor:
    """Half the mean squared gradient of the scores with respect to the real faces."""
    (gradient,) = torch.autograd.grad(score.sum(), faces, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2
