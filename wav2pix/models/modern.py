"""The networks of the presets ``modern`` and ``small``.

What they repair of the original: a score that judges the match of face and voice (projection), pictures without
checkerboards, speech of any length, and an embedding of fixed norm, which keeps the identity head's gradient
bounded (Kang et al., "Rebooting ACGAN", 2021).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class PooledEncoder(nn.Module):
    """Strided Conv1d with BatchNorm, pooled to mean and standard deviation over time, then one linear layer.

    The first three convolutions have kernel 15 and stride 4 as in SEGAN, the others kernel 5 and stride 2: one
    second of 16 kHz leaves 32 places to pool.
    """

    def __init__(self, channels: tuple[int, ...], embedding_size: int, norm: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip((1, *channels), channels, strict=False)):
            kernel, stride = (15, 4) if index < 3 else (5, 2)
            layers += [
                nn.Conv1d(before, after, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm1d(after),
                nn.LeakyReLU(0.2),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(2 * channels[-1], embedding_size)
        self.norm = norm

    def forward(self, speech: Tensor) -> Tensor:
        """(B, T) prepared speech to (B, E) embeddings of length ``norm``."""
        features = self.convolutions(speech[:, None])
        deviation = (features.var(dim=2, unbiased=False) + 1e-5).sqrt()
        embedding = self.linear(torch.cat([features.mean(dim=2), deviation], dim=1))
        return self.norm * F.normalize(embedding, dim=1)


class UpsamplingConv2d(nn.Module):
    """Nearest-neighbour upsampling by two and a 3x3 convolution, computed as one transposed convolution.

    Each output pixel sees two by two input pixels, so the nine weights sum to a 4x4 kernel of stride 2:
    the same function with 4/9 of the multiplications, four times faster than the two steps on a CPU.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(after, before, 3, 3))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """(B, before, H, W) to (B, after, 2 H, 2 W)."""
        taps = F.pad(self.weight, (1, 1, 1, 1))
        taps = taps[..., :-1, :] + taps[..., 1:, :]
        kernel = (taps[..., :-1] + taps[..., 1:]).flip(2, 3).transpose(0, 1)
        return F.conv_transpose2d(features, kernel, stride=2, padding=1)


class UpsamplingGenerator(nn.Module):
    """Linear to 4x4, upsampling convolutions with BatchNorm and ReLU to full size, one last 3x3 convolution."""

    def __init__(
        self, image_size: int, channels: tuple[int, ...], embedding_size: int, noise_size: int = 0
    ) -> None:
        super().__init__()
        self.noise_size = noise_size
        widths = channels[: num_stages(image_size) + 1]
        self.start = nn.Linear(embedding_size + noise_size, widths[0] * 16, bias=False)
        self.start_norm = nn.BatchNorm2d(widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(UpsamplingConv2d(before, after), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in pairwise(widths)
        )
        self.picture = nn.Conv2d(widths[-1], 3, 3, 1, 1)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, E) embeddings to (B, 3, S, S) faces in [-1, 1]; noise, if any, is zero in eval mode."""
        if self.noise_size:
            shape = (len(embedding), self.noise_size)
            noise = torch.randn(shape, device=embedding.device) if self.training else torch.zeros(shape)
            embedding = torch.cat([embedding, noise.to(embedding)], dim=1)
        features = F.relu(self.start_norm(self.start(embedding).unflatten(1, (-1, 4, 4))))
        for stage in self.stages:
            features = stage(features)
        return torch.tanh(self.picture(features))


class ProjectionDiscriminator(nn.Module):
    """Spectral-norm convolutions to 4x4; score = linear(features) + <V embedding, features>.

    Miyato and Koyama, "cGANs with Projection Discriminator" (2018), equation 3, with the speech embedding in
    place of the class embedding.
    """

    def __init__(self, image_size: int, channels: tuple[int, ...], embedding_size: int) -> None:
        super().__init__()
        widths = (3, *channels[: num_stages(image_size)])
        self.convolutions = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, 2, 1)) for before, after in pairwise(widths)
        )
        self.score = spectral_norm(nn.Linear(widths[-1], 1))
        self.projection = spectral_norm(nn.Linear(embedding_size, widths[-1], bias=False))

    def forward(self, faces: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B,) and features (B, C) of (B, 3, S, S) faces with (B, E) embeddings."""
        features = faces
        for convolution in self.convolutions:
            features = F.leaky_relu(convolution(features), 0.2)
        pooled = features.mean(dim=(2, 3))
        match = (self.projection(embedding) * pooled).sum(dim=1)
        return self.score(pooled)[:, 0] + match, pooled


def num_stages(image_size: int) -> int:
    """How often 4x4 doubles to reach ``image_size``."""
    return int(math.log2(image_size // 4))
