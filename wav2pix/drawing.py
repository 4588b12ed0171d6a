"""Faces from windows of speech: what a trained model is for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wav2pix.models import Wav2Pix

BATCH_SIZE = 64


@torch.no_grad()
def draw_faces(model: Wav2Pix, speech: npt.NDArray[np.int16]) -> Tensor:
    """(N, T) windows of speech to (N, 3, S, S) faces in [-1, 1] on the CPU, in eval mode."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    batches = torch.from_numpy(np.array(speech)).split(BATCH_SIZE)
    faces = torch.cat([model(batch.to(device)).float().cpu() for batch in batches])
    model.train(was_training)
    return faces
