"""What a measurement of a model comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from wav2pix.evaluation.names import at_length

Speakers = Literal["known", "unseen"]


@dataclass(frozen=True)
class Measure:
    """A number and how far to trust it.

    Attributes:
        value: the measure on all pairs.
        low, high: the ends of its 95 % interval over recordings; None where there is none.
        standard_error: over recordings, in the unit of the value; None where the interval was not made of one.
    """

    value: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True, eq=False)
class Cases:
    """Every pair that was looked at, for those who want to see it. N pairs, faces of S by S pixels.

    Attributes:
        rows: (N,) the pairs' places in the data set.
        identity: (N,) index in the data set's ``identities``.
        recording: (N,) index in the data set's ``recordings``.
        real: (N, S, S, 3) uint8 RGB.
        generated: (N, S, S, 3) uint8 RGB, drawn from the speech of the same moment.
        scores: (N,) each, by the name of the measure that they are the mean of: ``cosine_to_real``, ``l1``,
            ``perceptual``, ``identity_accuracy`` (0 or 1), ``mean_rank`` (the rank of the first face of the
            speaker, from 1), ``detection_rate`` (0 or 1, where a detector was given).
    """

    rows: npt.NDArray[np.int64]
    identity: npt.NDArray[np.int64]
    recording: npt.NDArray[np.int64]
    real: npt.NDArray[np.uint8]
    generated: npt.NDArray[np.uint8]
    scores: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Cosines:
    """Cosine similarities of embeddings, for a picture of how they are distributed.

    Attributes:
        generated: (N,) generated and real face of the same pair.
        same: (M,) two real faces of one speaker, at most some thousand drawn at random.
        different: (M,) two real faces of two speakers, likewise; empty where there is one speaker.
    """

    generated: npt.NDArray[np.float64]
    same: npt.NDArray[np.float64]
    different: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """The measures of a model on the pairs of a split.

    Attributes:
        measures: by name, at the model's own window of speech; ``DESCRIPTIONS`` explains each.
        by_length: the same at other lengths of speech, by length in seconds, ascending. A length that was asked
            for and is impossible is missing, and ``notes`` say why.
        length_s: the model's own window of speech.
        num_pairs, num_recordings: how many were looked at.
        speakers: ``known``, those that the model was trained on, or ``unseen``, the others.
        identities: names of the speakers measured.
        unknown_identities: speakers of the data that the model was not trained on and that are left out.
        features: what the embeddings, KID and FID come from. Figures of different features do not compare.
        notes: what a reader of the figures has to know, one sentence each.
        spread: standard deviation over all generated pictures, mean over pixels, in [-1, 1] units; NaN for one.
        cases: the pairs themselves.
        cosines: how similarities are distributed.
    """

    measures: Mapping[str, Measure]
    by_length: Mapping[float, Mapping[str, Measure]]
    length_s: float
    num_pairs: int
    num_recordings: int
    speakers: Speakers
    identities: tuple[str, ...]
    unknown_identities: tuple[str, ...]
    features: str
    notes: tuple[str, ...]
    spread: float
    cases: Cases
    cosines: Cosines

    def metrics(self) -> dict[str, float]:
        """Plain values by name, those of other lengths as ``identity_accuracy_0.3s``."""
        values = {name: measure.value for name, measure in self.measures.items()}
        for length_s, measures in self.by_length.items():
            values |= {at_length(name, length_s): measure.value for name, measure in measures.items()}
        return values
