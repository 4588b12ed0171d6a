"""What faces are looked at with: networks that know faces, and finders of faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from wav2pix.data import Dataset

Scorer = Callable[[Tensor], Tensor]


class Embedder(Protocol):
    """A network that knows faces."""

    @property
    def name(self) -> str:
        """What the features are, for people."""
        ...

    def embed(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) faces in [-1, 1], RGB, to (N, C) float32 features."""
        ...

    def scorer(self, data: Dataset) -> Scorer:
        """What takes (N, C) features to (N, identities of the data set) scores, the highest for the likeliest.

        Raises:
            DataError: the data set has no training faces.
        """
        ...


class FaceFinder(Protocol):
    """Something that finds faces in pictures."""

    def found(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """(N, S, S, 3) uint8 RGB pictures to (N,): whether there is a face in each."""
        ...
