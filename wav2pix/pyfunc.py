"""An exported model as MLflow loads it: ``mlflow.pyfunc.load_model``. Neither imports MLflow nor unpickles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from wav2pix.batches import tensor_to_faces
from wav2pix.checkpoint import load_model
from wav2pix.drawing import draw_faces
from wav2pix.errors import AudioError
from wav2pix.models import SAMPLE_RATE_HZ, Wav2Pix
from wav2pix.speech import to_samples

# What this module needs of the package index.
REQUIREMENTS = ("torch", "numpy", "pydantic", "safetensors")


class FaceDrawer:
    """Draws a face from each window of speech."""

    def __init__(self, model: Wav2Pix) -> None:
        self._model = model

    def predict(self, speech: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """(N, T) float32 speech in [-1, 1) at 16 kHz to (N, S, S, 3) uint8 faces, RGB.

        Raises:
            AudioError: T is not the length of the model's window.
        """
        wanted = self._model.window_samples
        if speech.ndim != 2 or speech.shape[1] != wanted:
            raise AudioError(
                f"speech of shape {speech.shape}; this model takes (N, {wanted}): windows of "
                f"{wanted / SAMPLE_RATE_HZ:g} s at {SAMPLE_RATE_HZ} Hz"
            )
        if len(speech) == 0:
            size = self._model.config.image_size
            return np.zeros((0, size, size, 3), np.uint8)
        return tensor_to_faces(draw_faces(self._model, to_samples(speech)))


def _load_pyfunc(path: str) -> FaceDrawer:
    """MLflow calls this with the folder of the exported model."""
    return FaceDrawer(load_model(Path(path)))
