"""The names of all measures and what each means: for reports, sweeps and error messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wav2pix.config import EvaluationConfig


@dataclass(frozen=True)
class Description:
    """What a measure is.

    Attributes:
        title: for the row of a table.
        meaning: one or two sentences for people.
        better: which way is better; None for what says nothing of the model's quality.
        reference: says something of the real faces or of chance alone, whatever the model draws.
        group: measures of one group stand together.
        beside: the measure that this one gives meaning to, which it follows in a table.
    """

    title: str
    meaning: str
    better: Literal["higher", "lower"] | None = None
    reference: bool = False
    group: str = ""
    beside: str = ""


def at_length(name: str, length_s: float) -> str:
    """The name of a measure at another length of speech than the model's own."""
    return f"{name}_{length_s:g}s"


DESCRIPTIONS: dict[str, Description] = {
    "identity_accuracy": Description(
        "identity accuracy",
        "Share of generated faces that a classifier of real faces gives to the speaker, among the speakers "
        "measured; mean over speakers, so that each counts the same.",
        "higher",
        group="identity",
    ),
    "identity_accuracy_ceiling": Description(
        "of real faces",
        "The same for the real faces of these pairs.",
        reference=True,
        group="identity",
        beside="identity_accuracy",
    ),
    "identity_accuracy_chance": Description(
        "by chance",
        "One over the number of speakers measured.",
        reference=True,
        group="identity",
        beside="identity_accuracy",
    ),
    "identity_accuracy_shuffled": Description(
        "with shuffled speech",
        "The same with the speech dealt out anew, recording by recording: what a model that does not listen "
        "reaches. The interval is that of the deals: an accuracy above it is not luck.",
        group="identity",
        beside="identity_accuracy",
    ),
    "recall_at_1": Description(
        "recall at 1",
        "Share of generated faces whose nearest real face of the split, by cosine of embeddings, shows the "
        "speaker; mean over speakers. The face of the same moment is among them.",
        "higher",
        group="retrieval",
    ),
    "recall_at_1_chance": Description(
        "by chance", "Real faces in random order.", reference=True, group="retrieval", beside="recall_at_1"
    ),
    "recall_at_5": Description(
        "recall at 5", "Likewise, any of the five nearest.", "higher", group="retrieval"
    ),
    "recall_at_5_chance": Description(
        "by chance", "Real faces in random order.", reference=True, group="retrieval", beside="recall_at_5"
    ),
    "recall_at_10": Description(
        "recall at 10", "Likewise, any of the ten nearest.", "higher", group="retrieval"
    ),
    "recall_at_10_chance": Description(
        "by chance", "Real faces in random order.", reference=True, group="retrieval", beside="recall_at_10"
    ),
    "mean_rank": Description(
        "mean rank",
        "Place of the first real face of the speaker when all are sorted by likeness, 1 is best; mean over "
        "speakers.",
        "lower",
        group="retrieval",
    ),
    "mean_rank_chance": Description(
        "by chance", "Real faces in random order.", reference=True, group="retrieval", beside="mean_rank"
    ),
    "identity_rank": Description(
        "rank of the speaker",
        "Place of the speaker when all speakers are sorted by the likeness of their mean embedding, 1 is best.",
        "lower",
        group="retrieval",
    ),
    "identity_rank_chance": Description(
        "by chance", "Speakers in random order.", reference=True, group="retrieval", beside="identity_rank"
    ),
    "cosine_to_real": Description(
        "cosine to the real face",
        "Cosine similarity of the embeddings of a generated face and of the real one of the same moment.",
        "higher",
        group="likeness",
    ),
    "cosine_same": Description(
        "two real faces of one speaker",
        "Cosine similarity of two different real faces of one speaker.",
        reference=True,
        group="likeness",
        beside="cosine_to_real",
    ),
    "cosine_different": Description(
        "real faces of two speakers",
        "Cosine similarity of real faces of two speakers.",
        reference=True,
        group="likeness",
        beside="cosine_to_real",
    ),
    "l1": Description(
        "L1", "Mean absolute difference from the real face, pixels in [-1, 1].", "lower", group="likeness"
    ),
    "l1_mean_face": Description(
        "of the mean face",
        "The same for the mean training face of the speaker, or of all known speakers where the model never "
        "saw this one.",
        reference=True,
        group="likeness",
        beside="l1",
    ),
    "perceptual": Description(
        "perceptual distance",
        "Squared difference of unit-normalised feature maps of the data set's judge, summed over its layers, "
        "as LPIPS without its learned weights: comparable on one data set only.",
        "lower",
        group="likeness",
    ),
    "perceptual_mean_face": Description(
        "of the mean face", "The same for the mean face.", reference=True, group="likeness", beside="perceptual"
    ),
    "kid": Description(
        "KID",
        "Kernel distance between the features of generated and real faces, around 0 where they cannot be told "
        "apart; below 0 is chance. Figures of different features do not compare.",
        "lower",
        group="quality",
    ),
    "fid": Description(
        "FID",
        "Frechet distance between the features of generated and real faces. It is too high with few faces: "
        "compare at the same number of pairs and with the same features only.",
        "lower",
        group="quality",
    ),
    "sharpness": Description(
        "sharpness",
        "Mean variance of the Laplacian, generated over real: 1 is as sharp as real, 0 is fog.",
        group="quality",
    ),
    "detection_rate": Description(
        "faces detected",
        "Share of generated pictures in which OpenCV's frontal Haar cascade finds a face.",
        "higher",
        group="quality",
    ),
    "detection_rate_real": Description(
        "in real pictures",
        "The same for the real faces.",
        reference=True,
        group="quality",
        beside="detection_rate",
    ),
    "landmarks_rate": Description(
        "landmarks found",
        "Share of generated pictures in which the given model finds 68 landmarks that lie as in a face.",
        "higher",
        group="quality",
    ),
    "landmarks_rate_real": Description(
        "in real pictures",
        "The same for the real faces.",
        reference=True,
        group="quality",
        beside="landmarks_rate",
    ),
    "diversity": Description(
        "diversity",
        "Standard deviation of the pictures of one speaker, generated over real: 0 is one picture a person.",
        group="variety",
    ),
    "consistency": Description(
        "consistency",
        "Cosine similarity of generated faces of one recording, drawn from different windows.",
        group="variety",
    ),
    "consistency_other_recordings": Description(
        "over recordings",
        "The same for two recordings of one speaker: high where the voice, not the recording, makes the face.",
        "higher",
        group="variety",
        beside="consistency",
    ),
    "consistency_other_speakers": Description(
        "over speakers",
        "The same for two speakers: as high as the others where one face is drawn for everybody.",
        "lower",
        group="variety",
        beside="consistency",
    ),
    "consistency_real": Description(
        "of real faces",
        "The same for different real faces of one recording.",
        reference=True,
        group="variety",
        beside="consistency",
    ),
}

# References that an epoch reports: one glance at a run must show what its figures mean.
_EPOCH_REFERENCES = ("identity_accuracy_ceiling", "identity_accuracy_chance", "l1_mean_face")
COSTLY = ("detection_rate", "fid")
# Needs a model that only a user can name.
_GIVEN = ("landmarks_rate",)


def epoch_names(config: EvaluationConfig) -> tuple[str, ...]:
    """The measures of an epoch at one length of speech."""
    return tuple(
        name
        for name, about in DESCRIPTIONS.items()
        if (not about.reference or name in _EPOCH_REFERENCES)
        and (name not in COSTLY or name in config.costly)
        and name not in _GIVEN
    )


def measure_names(config: EvaluationConfig) -> tuple[str, ...]:
    """Every measure that a run with these settings reports after an epoch, for a sweep to have as objective."""
    names = epoch_names(config)
    return names + tuple(at_length(name, length_s) for length_s in config.lengths for name in names)
