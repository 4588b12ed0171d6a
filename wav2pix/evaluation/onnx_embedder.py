"""A face embedder that the user names, as an ONNX file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wav2pix.batches import faces_to_tensor, tensor_to_faces
from wav2pix.data import Dataset
from wav2pix.errors import Wav2PixError
from wav2pix.evaluation.interfaces import Scorer
from wav2pix.evaluation.onnx_network import Channels, open_onnx
from wav2pix.evaluation.training_faces import faces_by_identity

# An identity's mean direction needs no more faces than this.
MAX_FACES = 50


class OnnxEmbedder:
    """Embeddings by a network from an ONNX file; an :class:`~wav2pix.evaluation.interfaces.Embedder`.

    A face belongs to the identity whose training faces' mean direction is nearest by cosine.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int | None = None,
        channels: Channels = "rgb",
        mean: float = 127.5,
        scale: float = 1 / 127.5,
    ) -> None:
        """Open the network; what it takes by default is what ArcFace takes (Deng et al., 2019).

        Args:
            path: an ONNX file with one picture in and one vector out.
            size: of the picture in pixels; None: as the file says, or 112 where it does not.
            channels: their order in the network's input.
            mean: is subtracted from pixel values 0 to 255.
            scale: is what they are multiplied by then.

        Raises:
            Wav2PixError: the file is missing, no ONNX model, or gives something else than a vector.
        """
        self._network = open_onnx(path, size, otherwise=112)
        self._channels, self._mean, self._scale = channels, mean, scale
        side = self._network.size
        probe = self._run(np.full((1, side, side, 3), 127, np.uint8))
        self._num_features = len(probe)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        self._name = f"{path.name} (SHA-256 {digest}), {self._num_features} features"

    @property
    def name(self) -> str:
        """The file, its hash and the number of features."""
        return self._name

    def embed(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) faces in [-1, 1], RGB, to (N, C) float32 features."""
        pictures = tensor_to_faces(faces)
        features = [self._run(pictures[place : place + 1]) for place in range(len(pictures))]
        return torch.from_numpy(np.stack(features)) if features else torch.zeros((0, self._num_features))

    def scorer(self, data: Dataset) -> Scorer:
        """Cosines with the mean direction of each identity's training faces, -1 where it has none.

        Raises:
            DataError: the data set has no training faces.
        """
        faces, identities = faces_by_identity(data)
        means = torch.zeros((len(data.identities), self._num_features))
        for identity in np.unique(identities).tolist():
            own = faces[identities == identity]
            own = own[np.linspace(0, len(own) - 1, min(len(own), MAX_FACES)).round().astype(np.int64)]
            means[identity] = F.normalize(self.embed(faces_to_tensor(data.faces[own])), dim=1).mean(dim=0)
        directions = F.normalize(means, dim=1)
        missing = ~torch.from_numpy(np.isin(np.arange(len(data.identities)), identities))

        def scores(features: Tensor) -> Tensor:
            return (F.normalize(features, dim=1) @ directions.T).masked_fill(missing, -1.0)

        return scores

    def _run(
        self, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        given = self._network.run(picture, mean=self._mean, scale=self._scale, channels=self._channels)
        if given.shape[0] != 1 or given.size < 2 or max(given.shape) != given.size:
            raise Wav2PixError(
                f"{self._network.path}: gives {'x'.join(map(str, given.shape))} numbers for a picture; "
                "a face embedder gives one vector"
            )
        return given.reshape(-1)
