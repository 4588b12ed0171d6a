"""The real faces of the pairs that are looked at, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wav2pix.batches import faces_to_tensor
from wav2pix.data import Dataset
from wav2pix.evaluation.interfaces import Embedder, Scorer
from wav2pix.evaluation.intervals import Labels
from wav2pix.evaluation.result import Speakers
from wav2pix.evaluation.similarity import Gallery, directions
from wav2pix.evaluation.training_faces import mean_faces


@dataclass(frozen=True, eq=False)
class Reality:
    """N pairs of K speakers with F different faces of S by S pixels.

    Attributes:
        names: of the K speakers measured.
        identity: (N,) 0 to K - 1.
        recording: (N,) index in the data set.
        faces: (N, 3, S, S) in [-1, 1].
        features: (N, C) of these.
        baseline: (K, 3, S, S) the mean training face that each speaker's faces are compared with.
        different: (F, S, S, 3) uint8, each face once.
        first: (F,) the first pair of each.
        which: (N,) the place of each pair's face in ``different``.
        gallery: the same faces as embeddings.
        named: (N,) the speaker given to each face, 0 to K - 1.
    """

    names: tuple[str, ...]
    identity: Labels
    recording: Labels
    faces: Tensor
    features: Tensor
    baseline: Tensor
    different: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    first: Labels
    which: Labels
    gallery: Gallery
    named: Labels
    _scorer: Scorer
    _classes: Tensor

    @classmethod
    def of(
        cls,
        data: Dataset,
        rows: Labels,
        embedder: Embedder,
        learned: tuple[str, ...],
        speakers: Speakers,
    ) -> Reality:
        """Look at the real faces of some pairs.

        Args:
            rows: the pairs.
            learned: names of the speakers that the model was trained on.
            speakers: which of them ``rows`` are of.

        Raises:
            DataError: the data set has no training faces.
        """
        classes, identity = np.unique(data.identity[rows], return_inverse=True)
        distinct, first, which = np.unique(data.face[rows], return_index=True, return_inverse=True)
        different = np.asarray(data.faces[distinct])
        pictures = faces_to_tensor(different)
        features = embedder.embed(pictures)
        means = mean_faces(data)
        if speakers == "unseen":  # the model cannot know more of them than what all faces have in common
            known = [index for index, name in enumerate(data.identities) if name in learned]
            means = means[known].mean(dim=0, keepdim=True).expand(len(means), -1, -1, -1)
        scorer = embedder.scorer(data)
        chosen = torch.from_numpy(classes)
        return cls(
            names=tuple(data.identities[index] for index in classes),
            identity=identity,
            recording=data.recording[rows],
            faces=pictures[which],
            features=features[which],
            baseline=means[chosen],
            different=different,
            first=first,
            which=which,
            gallery=Gallery(directions(features), identity[first], data.recording[rows][first]),
            named=_best(scorer, features, chosen)[which],
            _scorer=scorer,
            _classes=chosen,
        )

    def name_faces(self, features: Tensor) -> Labels:
        """(N, C) features to the speaker, 0 to K - 1, whom each face is given to: one of those measured."""
        return _best(self._scorer, features, self._classes)


def _best(scorer: Scorer, features: Tensor, classes: Tensor) -> Labels:
    best: Labels = scorer(features)[:, classes].argmax(dim=1).numpy()
    return best
