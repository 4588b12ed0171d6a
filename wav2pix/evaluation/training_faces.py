"""The real faces of the training split: what an instrument is made from, never the model that is measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wav2pix.data import Dataset
from wav2pix.errors import DataError


def faces_by_identity(data: Dataset) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct training faces: their rows in ``data.faces`` and the identity of each.

    Raises:
        DataError: there are none.
    """
    rows = data.indices("train")
    if len(rows) == 0:
        raise DataError(f"{data.root}: no training faces to learn the identities from")
    faces, first = np.unique(data.face[rows], return_index=True)
    return faces, data.identity[rows][first]


def mean_faces(data: Dataset) -> Tensor:
    """(identities, 3, S, S) in [-1, 1]: the mean training face of each, grey where there is none."""
    faces, identities = faces_by_identity(data)
    size = data.image_size
    means = np.full((len(data.identities), size, size, 3), 127.5)
    for identity in np.unique(identities):
        means[identity] = data.faces[faces[identities == identity]].mean(axis=0, dtype=np.float64)
    return torch.from_numpy(means).permute(0, 3, 1, 2).float() / 127.5 - 1
