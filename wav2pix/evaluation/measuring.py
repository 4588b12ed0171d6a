"""Every measure of a set of generated faces, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wav2pix.batches import tensor_to_faces
from wav2pix.evaluation import pixels
from wav2pix.evaluation.distances import FrechetDistance, KernelDistance
from wav2pix.evaluation.identity import hits, shuffled_accuracy
from wav2pix.evaluation.interfaces import Embedder, FaceFinder
from wav2pix.evaluation.intervals import Recordings, Values
from wav2pix.evaluation.judge import Judge
from wav2pix.evaluation.names import DESCRIPTIONS
from wav2pix.evaluation.reality import Reality
from wav2pix.evaluation.result import Measure
from wav2pix.evaluation.similarity import (
    PairCosines,
    directions,
    face_ranks,
    rank_by_chance,
    recall_by_chance,
    speaker_ranks,
)

RECALLS = (1, 5, 10)

Measures = dict[str, Measure]


@dataclass(frozen=True, eq=False)
class Looked:
    """What was seen of N generated faces: the measures, the scores of each pair, the pictures as bytes."""

    measures: Measures
    scores: dict[str, Values]
    faces: npt.NDArray[np.uint8]
    spread: float


@dataclass(frozen=True, eq=False)
class Instruments:
    """What faces are measured with.

    Attributes:
        embedder: of features and identities.
        judge: of the perceptual distance.
        finders: by the name of their measure.
        fid: whether to measure it.
        seed: of the shuffles.
        num_shuffles: deals of the control.
    """

    embedder: Embedder
    judge: Judge
    finders: Mapping[str, FaceFinder]
    fid: bool
    seed: int
    num_shuffles: int


def measure_references(reality: Reality, recordings: Recordings, instruments: Instruments) -> Measures:
    """What says how far a measure can go, or what comes of itself: of real faces and chance alone."""
    identity, gallery = reality.identity, reality.gallery
    cosines = PairCosines(gallery.directions, gallery.identity, recordings.label[reality.first], recordings)
    found: dict[str, Measure | None] = {
        "identity_accuracy_ceiling": recordings.balanced(hits(reality.named, identity), identity),
        "identity_accuracy_chance": Measure(1 / len(reality.names)),
        "mean_rank_chance": Measure(_balance(rank_by_chance(identity, gallery), identity)),
        "identity_rank_chance": Measure((len(reality.names) + 1) / 2),
        "cosine_same": cosines.of_speakers(),
        "cosine_different": cosines.across_speakers(),
        "consistency_real": cosines.within_recordings(),
        "l1_mean_face": recordings.mean(_l1(reality.baseline[reality.identity], reality.faces)),
        "perceptual_mean_face": recordings.mean(
            _perceptual(instruments.judge, reality.baseline[reality.identity], reality.faces)
        ),
    }
    for k in RECALLS:
        chance = recall_by_chance(k, identity, gallery)
        found[f"recall_at_{k}_chance"] = Measure(_balance(chance, identity))
    for name, finder in instruments.finders.items():
        seen = finder.found(reality.different)[reality.which].astype(np.float64)
        found[f"{name}_real"] = recordings.mean(seen)
    return in_order(found)


def measure_generated(
    generated: Tensor, reality: Reality, recordings: Recordings, instruments: Instruments
) -> Looked:
    """Every measure of (N, 3, S, S) faces in [-1, 1] that were drawn from the speech of the pairs."""
    features = instruments.embedder.embed(generated)
    faces = tensor_to_faces(generated)
    scores = _scores(generated, features, reality, instruments.judge)
    for name, finder in instruments.finders.items():
        scores[name] = finder.found(faces).astype(np.float64)
    found = {name: recordings.mean(scores[name]) for name in scores}
    found |= _of_identity(scores, features, reality, recordings, instruments)
    found |= _of_variety(generated, features, reality, recordings)
    found["kid"] = recordings.jackknife(
        KernelDistance(features, reality.features, recordings.group, recordings.num_groups).of
    )
    if instruments.fid:
        found["fid"] = recordings.jackknife(FrechetDistance(features, reality.features, recordings.group).of)
    spread = float(generated.std(dim=0).mean()) if len(generated) > 1 else float("nan")
    return Looked(in_order(found), scores, faces, spread)


def _scores(generated: Tensor, features: Tensor, reality: Reality, judge: Judge) -> dict[str, Values]:
    """What each pair has a score of its own for."""
    unit = directions(features)
    cosines = (unit * directions(reality.features)).sum(axis=1, dtype=np.float64)
    return {
        "identity_accuracy": hits(reality.name_faces(features), reality.identity),
        "mean_rank": face_ranks(unit, reality.identity, reality.gallery),
        "identity_rank": speaker_ranks(unit, reality.identity, reality.gallery),
        "cosine_to_real": cosines,
        "l1": _l1(generated, reality.faces),
        "perceptual": _perceptual(judge, generated, reality.faces),
    }


def _of_identity(
    scores: Mapping[str, Values],
    features: Tensor,
    reality: Reality,
    recordings: Recordings,
    instruments: Instruments,
) -> dict[str, Measure | None]:
    """The measures in which every speaker counts the same."""
    identity = reality.identity
    found = {
        name: recordings.balanced(scores[name], identity)
        for name in ("identity_accuracy", "mean_rank", "identity_rank")
    }
    for k in RECALLS:
        recalled = (scores["mean_rank"] <= k).astype(np.float64)
        found[f"recall_at_{k}"] = recordings.balanced(recalled, identity)
    found["identity_accuracy_shuffled"] = shuffled_accuracy(
        reality.name_faces(features),
        identity,
        recordings,
        instruments.num_shuffles,
        instruments.seed,
    )
    return found


def _of_variety(
    generated: Tensor, features: Tensor, reality: Reality, recordings: Recordings
) -> dict[str, Measure | None]:
    """How alike generated faces are among themselves, and whether they have the detail of real ones."""
    cosines = PairCosines(directions(features), reality.identity, recordings.label, recordings)
    identity = torch.from_numpy(reality.identity)

    def varied(kept: npt.NDArray[np.bool_]) -> float:
        chosen = torch.from_numpy(kept[recordings.group])
        real = pixels.diversity(reality.faces[chosen], identity[chosen])
        return pixels.diversity(generated[chosen], identity[chosen]) / real if real else float("nan")

    return {
        "sharpness": recordings.ratio(_sharpness(generated), _sharpness(reality.faces)),
        "diversity": recordings.jackknife(varied),
        "consistency": cosines.within_recordings(),
        "consistency_other_recordings": cosines.across_recordings(),
        "consistency_other_speakers": cosines.across_speakers(),
    }


def _balance(values: Values, identity: npt.NDArray[np.int64]) -> float:
    return float((np.bincount(identity, values) / np.bincount(identity)).mean())


def _l1(faces: Tensor, others: Tensor) -> Values:
    return (faces - others).abs().mean(dim=(1, 2, 3)).double().numpy()


def _perceptual(judge: Judge, faces: Tensor, others: Tensor) -> Values:
    return pixels.perceptual_distance(judge, faces, others).double().numpy()


def _sharpness(faces: Tensor) -> Values:
    return pixels.sharpness(faces).double().numpy()


def in_order(found: Mapping[str, Measure | None]) -> Measures:
    """Those that are defined, as they are listed."""
    measures = {name: found.get(name) for name in DESCRIPTIONS}
    return {name: measure for name, measure in measures.items() if measure is not None}
