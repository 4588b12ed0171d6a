"""The whole evaluation of a model on a data set, with the instruments that a user named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wav2pix.data import Dataset, Split
from wav2pix.errors import DataError
from wav2pix.evaluation import Speakers
from wav2pix.evaluation.detection import HaarDetector, LandmarkFinder
from wav2pix.evaluation.evaluate import evaluate
from wav2pix.evaluation.judge import get_judge
from wav2pix.evaluation.onnx_embedder import OnnxEmbedder
from wav2pix.evaluation_report.result import Result
from wav2pix.models import Wav2Pix


def measure(
    name: str,
    model: Wav2Pix,
    data: Dataset,
    split: Split | Literal["all"],
    *,
    unseen: bool = False,
    embedder: Path | None = None,
    landmarks: Path | None = None,
    lengths: Sequence[float] = (),
    max_pairs: int | None = None,
) -> Result:
    """Measure a model on the speakers that it knows and, if asked to, on those that it does not.

    Args:
        name: of the model, as the user gave it.
        unseen: measure also, and apart from the others, the speakers of the data set that the model was not
            trained on, in the same split: it heard none of their recordings, but the judge of the data set
            learned from their real faces in ``train``.
        embedder: ONNX file of a face embedder; None: the data set's own judge.
        landmarks: ONNX file of a model of 68 landmarks.
        lengths: seconds of speech at which everything is measured again.
        max_pairs: at most so many pairs of each part.

    Raises:
        DataError: no speaker to measure, or the data do not suit the model.
        Wav2PixError: an ONNX file is none or of another kind.
    """
    wanted = _speakers(name, model, data, unseen=unseen)
    instrument = OnnxEmbedder(embedder) if embedder else get_judge(data)
    finder = LandmarkFinder(landmarks) if landmarks else None
    parts = tuple(
        evaluate(
            model,
            data,
            split,
            instrument,
            max_pairs=max_pairs,
            lengths=lengths,
            speakers=speakers,
            detector=HaarDetector(),
            landmarks=finder,
        )
        for speakers in wanted
    )
    return Result(name, data.root, data.content_hash, split, parts)


def _speakers(name: str, model: Wav2Pix, data: Dataset, *, unseen: bool) -> list[Speakers]:
    """The kinds of speakers to measure: without known ones where there are none and unseen ones are wanted."""
    there = set(data.identities)
    if not unseen:
        return ["known"]
    if there <= set(model.identities):
        raise DataError(
            f"{name} was trained on every speaker of {data.root}, so none is unseen: train with "
            "--hold-out-identities, or measure on other data"
        )
    return ["known", "unseen"] if there & set(model.identities) else ["unseen"]
