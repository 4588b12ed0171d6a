"""What the encoder hears: windows of samples, normalised as in the paper."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F


def to_samples(speech: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Speech in [-1, 1) as the 16-bit samples that models are trained on."""
    samples: npt.NDArray[np.int16] = np.clip(speech * 32768, -32768, 32767).astype(np.int16)
    return samples


def prepare_speech(
    samples: Tensor, *, quantisation: Literal["none", "one_bit"] = "none", preemphasis: float = 0.95
) -> Tensor:
    """Peak-normalise each window, then apply pre-emphasis y[t] = x[t] - a x[t-1].

    ``one_bit`` is what the original did by accident: an integer division by the peak, which rounds
    towards minus infinity and so leaves -1, 0 and, at the peak itself, 1.

    Args:
        samples: (B, T), integer or floating point; silence stays silence.

    Returns:
        (B, T) float32.
    """
    speech = samples.float()
    peak = speech.abs().amax(dim=1, keepdim=True)
    speech = speech / peak.where(peak > 0, torch.ones_like(peak))
    if quantisation == "one_bit":
        speech = speech.floor()
    return speech - preemphasis * F.pad(speech, (1, 0))[:, :-1]
