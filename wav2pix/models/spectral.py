"""Spectral norm (Miyato et al., 2018) of convolutions without bias, whose norms are taken out of the network.

A layer divides its weight W by its largest singular value s, estimated with u . W v after one step of the power
iteration per forward pass in training. Where a network has no biases and only activations with f(c x) = c f(x)
for c > 0 (ReLU, LeakyReLU, dropout), all these divisions commute with all layers: the network with the
weights W_i / s_i is the network with the weights W_i times one number, 1 / (s_1 s_2 ...), which
:meth:`SpectralLayers.scale` computes with its gradient. No normalised copy of a weight is written or
differentiated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralWeight(nn.Module):
    """A weight matrix (rows, columns) with the vectors of its power iteration.

    The weight of a convolution is kept as a matrix: a row is (kernel_y, kernel_x, channels) of one channel of
    the first dimension (output of a convolution, input of a transposed one). Seen as (rows, channels, kernel_y,
    kernel_x) this is channels-last memory, so neither the convolution nor the norm copies it.
    """

    u: Tensor
    v: Tensor

    def __init__(self, rows: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.kernel = channels, kernel
        self.weight = nn.Parameter(torch.empty(rows, kernel * kernel * channels))
        nn.init.normal_(self.weight, 0.0, 0.02)
        self.register_buffer("u", F.normalize(torch.randn(rows), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(self.weight.shape[1]), dim=0))
        with torch.no_grad():
            for _ in range(10):  # random vectors would give an untrained network in eval mode a norm near zero
                self.norm()

    def filters(self) -> Tensor:
        """The weight, not normalised, as (rows, channels, kernel, kernel) in channels-last memory: a view."""
        return self.weight.view(-1, self.kernel, self.kernel, self.channels).permute(0, 3, 1, 2)

    def norm(self) -> Tensor:
        """The largest singular value, a scalar, in training after one step of the power iteration.

        The gradient takes u and v as constants, as in the paper.
        """
        # In bfloat16 the estimate would be off by up to half a percent.
        with torch.autocast(self.weight.device.type, enabled=False):
            u, v = self.u, self.v
            if self.training:
                v = F.normalize(self.weight.detach().t().mv(u), dim=0)
            product = self.weight.mv(v)
            if self.training:
                u = F.normalize(product.detach(), dim=0)
                self.u.copy_(u)
                self.v.copy_(v)
            return torch.dot(u, product)


class SpectralLayers(nn.ModuleList):
    """The spectral-norm layers of a network without biases, in order.

    Args:
        shapes: rows and channels of each, as :class:`SpectralWeight` has them.
    """

    def __init__(self, shapes: Iterable[tuple[int, int]], kernel: int) -> None:
        super().__init__(SpectralWeight(rows, channels, kernel) for rows, channels in shapes)

    def __iter__(self) -> Iterator[SpectralWeight]:
        return cast("Iterator[SpectralWeight]", super().__iter__())

    def scale(self) -> Tensor:
        """1 / (s_1 s_2 ...), a scalar; the module's text says what it may stand for."""
        return torch.stack([layer.norm() for layer in self]).prod().reciprocal()
