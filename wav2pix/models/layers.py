"""Layers of the paper's networks, arranged for speed; each says which plain layer it equals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_KERNEL, _STRIDE, _LEFT = 15, 4, 6
# Reading a weight of more elements costs more than the arithmetic of a small batch, which BLAS copes with best.
_LARGE_WEIGHT = 1 << 22


def strided_length(length: int) -> int:
    """Samples that :class:`StridedConv1d` makes of ``length`` samples."""
    return (length - 2) // _STRIDE + 1


class StridedConv1d(nn.Module):
    """Conv1d with kernel 15, stride 4 and zeros around it, 6 on the left and 7 on the right.

    Speech is (B, C, 1, T) in channels-last memory, so that one window of 15 samples is one stretch of memory.
    Narrow layers are convolved as they are. Wide ones are unfolded into a matrix product, whose forward and
    backward passes run at the speed of the processor where those of the strided convolution do not.

    The weight is (out, 15 * in), a row being (15, in) of the plain layer's (in, 15).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.weight = nn.Parameter(torch.empty(out_channels, _KERNEL * in_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.normal_(self.weight, 0.0, 0.02)

    def forward(self, speech: Tensor) -> Tensor:
        """(B, in, 1, T) to (B, out, 1, strided_length(T)), both channels-last."""
        if self.in_channels < 128:
            return self._convolved(speech)
        batch, _, _, length = speech.shape
        outputs = strided_length(length)
        right = _STRIDE * (outputs + 3) - _LEFT - length
        padded = F.pad(speech.permute(0, 2, 3, 1).reshape(batch, length, -1), (0, 0, _LEFT, right))
        unfold: Callable[[Tensor, int], Tensor] = _Unfold.apply
        windows = unfold(padded, outputs)
        if speech.device.type != "cpu" or self.weight.numel() > _LARGE_WEIGHT:
            product = F.linear(windows, self.weight, self.bias)
            return product.view(batch, 1, outputs, -1).permute(0, 3, 1, 2)
        # As a 1x1 convolution the same product runs in oneDNN, which is faster than the BLAS of some builds.
        columns = windows.view(batch, 1, outputs, -1).permute(0, 3, 1, 2)
        return F.conv2d(columns, self.weight[:, :, None, None], self.bias)

    def _convolved(self, speech: Tensor) -> Tensor:
        filters = self.weight.view(-1, 1, _KERNEL, self.in_channels).permute(0, 3, 1, 2)
        if speech.shape[3] % _STRIDE == 2:  # only then does a window reach the seventh zero on the right
            speech = F.pad(speech, (0, 1))
        return F.conv2d(speech, filters, self.bias, stride=(1, _STRIDE), padding=(0, _LEFT))


class _Unfold(torch.autograd.Function):
    """(B, 4 (L + 3), C) to the windows (B L, 15 C): row l is the stretch of 15 samples from sample 4 l."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, outputs: int) -> Tensor:
        batch, length, channels = padded.shape
        ctx.shape, ctx.outputs = padded.shape, outputs
        strides = (length * channels, _STRIDE * channels, 1)
        windows = padded.as_strided((batch, outputs, _KERNEL * channels), strides)
        return windows.reshape(batch * outputs, _KERNEL * channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        batch, length, channels = ctx.shape
        block, outputs = _STRIDE * channels, ctx.outputs
        windows = gradients[0].view(batch, outputs, _KERNEL * channels)
        folded = windows.new_zeros(batch, length // _STRIDE, block)
        for shift in range(4):  # a window lies on four blocks of four samples, less the last sample
            part = windows[:, :, shift * block : (shift + 1) * block]
            folded[:, shift : shift + outputs, : part.shape[2]] += part
        return folded.view(batch, length, channels), None


def dropped_relu(values: Tensor, dropout: float) -> Tensor:
    """``(1 - dropout) * relu(dropout(values))``: what is kept is not scaled up, which is the caller's to do."""
    apply: Callable[[Tensor, float], Tensor] = _DroppedReLU.apply
    return apply(values, dropout)


class _DroppedReLU(torch.autograd.Function):
    """Dropout and ReLU in one; the result alone says where the gradient passes."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, dropout: float) -> Tensor:
        kept = values.clamp_min(0).mul_(keep_mask(values, dropout))
        ctx.save_for_backward(kept)
        return kept

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], kept, 0), None


def keep_mask(like: Tensor, dropout: float) -> Tensor:
    """Independent zeros with probability ``dropout`` and ones, bytes, in the shape and memory of ``like``.

    On a CPU a draw of 64 bits serves eight values where ``dropout`` is 0.5: each takes the sign of a byte.
    """
    if like.device.type != "cpu" or dropout != 0.5:
        return torch.empty_like(like, dtype=torch.bool).bernoulli_(1 - dropout)
    draws = torch.empty((like.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    signs = draws.view(torch.int8)[: like.numel()]
    return signs.ge(0).as_strided(like.shape, torch.empty_like(like, device="meta").stride())
