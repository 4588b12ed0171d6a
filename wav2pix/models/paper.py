"""The networks of the paper (Duarte et al., ICASSP 2019), with the mathematics of the original and less work.

The original computes each layer as it is written; here the strided audio convolutions are matrix products,
pictures and weights are in channels-last memory, the spectral norms of a network are one number
(:mod:`wav2pix.models.spectral`) and the discriminator's concatenation is a sum.
``tests/wav2pix/test_paper_models.py`` compares each with the plain form, values and gradients.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wav2pix.models.layers import StridedConv1d, dropped_relu, strided_length
from wav2pix.models.spectral import SpectralLayers

_SPEECH_CHANNELS = (1, 16, 32, 128, 256, 512, 1024)
_FACE_CHANNELS = {64: (64, 128, 256, 512), 128: (64, 128, 256, 512, 1024)}


class SeganEncoder(nn.Module):
    """SEGAN's discriminator as an encoder of speech: six strided convolutions and three linear layers.

    Args:
        samples: length of the speech, which fixes the size of the first linear layer (4096 at 16,000).
        embedding_size: length of the embedding.
    """

    def __init__(self, samples: int, embedding_size: int = 128) -> None:
        super().__init__()
        self.samples = samples
        self.convolutions = nn.ModuleList(StridedConv1d(*widths) for widths in pairwise(_SPEECH_CHANNELS))
        norms = [nn.BatchNorm2d(channels) for channels in _SPEECH_CHANNELS[1:]]
        places = samples
        for _ in norms:
            places = strided_length(places)
        sizes = (_SPEECH_CHANNELS[-1] * places, 256, embedding_size, embedding_size)
        linear = [nn.Linear(before, after) for before, after in pairwise(sizes)]
        for norm in norms:
            nn.init.normal_(norm.weight, 1.0, 0.02)
        for layer in linear:
            nn.init.normal_(layer.weight, 0.0, 0.02)
            nn.init.zeros_(layer.bias)
        self.norms, self.linear = nn.ModuleList(norms), nn.ModuleList(linear)

    def forward(self, speech: Tensor) -> Tensor:
        """(B, samples) float32 to (B, embedding_size).

        Raises:
            ValueError: the speech has another length than the encoder was made for.
        """
        if speech.shape[1] != self.samples:
            raise ValueError(f"this encoder takes {self.samples} samples of speech, not {speech.shape[1]}")
        maps = speech[:, None, None, :]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = F.leaky_relu(norm(convolution(maps)), 0.3, inplace=True)
        first, second, third = self.linear
        hidden = F.relu(second(F.relu(first(maps.flatten(1)))))
        embedding: Tensor = third(hidden)
        return embedding


class TransposedGenerator(nn.Module):
    """The paper's generator: spectral-norm transposed convolutions, each but the last with dropout and ReLU.

    Args:
        image_size: 64 or 128.
        embedding_size: length of the embedding.
        dropout: share of activations dropped in training.
    """

    def __init__(self, image_size: int, embedding_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        channels = (embedding_size, *reversed(_FACE_CHANNELS[image_size]), 3)
        self.layers = SpectralLayers(pairwise(channels), kernel=4)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, embedding_size) to faces (B, 3, S, S) in [-1, 1]."""
        dropout = self.dropout if self.training else 0.0
        first, *others = self.layers
        # No bias, and ReLU and dropout commute with a scale: the norms and dropout's 1 / (1 - p) come first.
        scale = self.layers.scale() / (1 - dropout) ** len(others)
        maps = torch.mm(embedding * scale, first.weight)
        maps = maps.view(-1, 4, 4, first.channels).permute(0, 3, 1, 2)
        for layer in others:
            maps = dropped_relu(maps, dropout) if dropout else F.relu(maps)
            maps = F.conv_transpose2d(maps, layer.filters(), stride=2, padding=1)
        return torch.tanh(maps)


class ConcatenationDiscriminator(nn.Module):
    """The paper's discriminator of faces and speech.

    The original tiles the embedding over the last 4x4 map, concatenates and convolves once with a 4x4 kernel.
    That is a sum of one score of the face and one of the speech, and is computed as such.

    Args:
        image_size: 64 or 128.
        embedding_size: length of the embedding.
        channels: of each convolution, the first ``log2(image_size / 4)`` of them; None: the paper's.
    """

    def __init__(self, image_size: int, embedding_size: int, channels: tuple[int, ...] | None = None) -> None:
        super().__init__()
        papers = _FACE_CHANNELS[image_size]
        widths = (3, *(channels or papers)[: len(papers)])
        self.layers = SpectralLayers(((above, below) for below, above in pairwise(widths)), kernel=4)
        self.face_score = nn.Parameter(torch.empty(16, widths[-1]))
        self.speech_score = nn.Parameter(torch.empty(16, embedding_size))
        nn.init.normal_(self.face_score, 0.0, 0.02)
        nn.init.normal_(self.speech_score, 0.0, 0.02)

    def forward(self, faces: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Faces (B, 3, S, S) and embeddings (B, E) to scores (B,) and the last feature map (B, 16, C)."""
        maps = faces.contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            maps = F.conv2d(maps, layer.filters(), stride=2, padding=1)
            maps = F.leaky_relu(maps, 0.2, inplace=True)
        exact = self.face_score.dtype  # the last sums are cheap, and a score in bfloat16 has three digits
        with torch.autocast(maps.device.type, enabled=False):
            places = maps.permute(0, 2, 3, 1).flatten(1, 2).to(exact) * self.layers.scale()
            of_face = places.flatten(1).mv(self.face_score.flatten())
            of_speech = embedding.to(exact).mv(self.speech_score.sum(0))
            return of_face + of_speech, places
