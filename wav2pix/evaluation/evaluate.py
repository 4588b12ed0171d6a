"""Measuring a model on the pairs of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from wav2pix.batches import centre_windows, check_data
from wav2pix.config import PooledEncoderConfig, TrainConfig
from wav2pix.data import Dataset, Split
from wav2pix.drawing import draw_faces
from wav2pix.errors import ConfigError, DataError
from wav2pix.evaluation.interfaces import Embedder, FaceFinder
from wav2pix.evaluation.intervals import Labels, Recordings
from wav2pix.evaluation.judge import Judge, get_judge
from wav2pix.evaluation.measuring import Instruments, Looked, in_order, measure_generated, measure_references
from wav2pix.evaluation.reality import Reality
from wav2pix.evaluation.result import Cases, Evaluation, Speakers
from wav2pix.evaluation.similarity import drawn_cosines
from wav2pix.models import SAMPLE_RATE_HZ, Wav2Pix

NUM_SHUFFLES = 1000
# An epoch has no intervals to show, and its control no need for a third digit.
NUM_SHUFFLES_QUICK = 200
FEW_RECORDINGS = 10


def evaluate(
    model: Wav2Pix,
    data: Dataset,
    split: Split | Literal["all"],
    embedder: Embedder,
    *,
    max_pairs: int | None = None,
    lengths: Sequence[float] = (),
    speakers: Speakers = "known",
    num_bootstrap: int = 1000,
    seed: int = 0,
    detector: FaceFinder | None = None,
    landmarks: FaceFinder | None = None,
    fid: bool = True,
) -> Evaluation:
    """Draw a face for each window of speech and compare with the real ones.

    What each measure is stands in :data:`wav2pix.evaluation.DESCRIPTIONS`; what its interval is, in
    :mod:`wav2pix.evaluation.intervals`.

    Args:
        model: is evaluated in eval mode, and left in the mode it was in.
        split: the pairs to look at.
        embedder: the judge of the data set (``get_judge``), or one of the user's.
        max_pairs: at most so many pairs, evenly spread over the split.
        lengths: of speech in seconds, at which everything is measured again where model and data allow it.
        speakers: those that the model was trained on, or the others.
        num_bootstrap: replicates of the recordings; 0: no intervals, for a quick look.
        seed: of all that is drawn at random here; torch's generator is left alone.
        detector: for ``detection_rate``.
        landmarks: for ``landmarks_rate``.
        fid: whether to compute it, for which torchmetrics is imported.

    Raises:
        DataError: the data do not suit the model, or have no pair of such speakers.
    """
    check_data(model.config, data)
    rows, unknown = _rows(model, data, split, speakers)
    if max_pairs is not None and len(rows) > max_pairs:
        rows = rows[np.linspace(0, len(rows) - 1, max_pairs).round().astype(np.int64)]
    reality = Reality.of(data, rows, embedder, model.identities, speakers)
    recordings = Recordings(data.recording[rows], num_bootstrap, seed)
    finders = {"detection_rate": detector, "landmarks_rate": landmarks}
    instruments = Instruments(
        embedder,
        embedder if isinstance(embedder, Judge) else get_judge(data),
        {name: finder for name, finder in finders.items() if finder},
        fid=fid,
        seed=seed,
        num_shuffles=NUM_SHUFFLES if num_bootstrap else NUM_SHUFFLES_QUICK,
    )
    references = measure_references(reality, recordings, instruments)

    def look(length_s: float) -> Looked:
        windows = centre_windows(data, rows, round(length_s * SAMPLE_RATE_HZ))
        return measure_generated(draw_faces(model, windows), reality, recordings, instruments)

    own_length = model.config.speech_window_s
    own = look(own_length)
    reasons = {length_s: why_impossible(model.config, data, length_s) for length_s in sorted(set(lengths))}
    possible = [length_s for length_s, reason in reasons.items() if reason is None]
    by_length = {
        length_s: in_order(references | (own if length_s == own_length else look(length_s)).measures)
        for length_s in possible
    }
    return Evaluation(
        measures=in_order(references | own.measures),
        by_length=by_length,
        length_s=own_length,
        num_pairs=len(rows),
        num_recordings=recordings.count,
        speakers=speakers,
        identities=reality.names,
        unknown_identities=unknown,
        features=embedder.name,
        notes=(*_notes(reality, recordings, fid), *filter(None, reasons.values())),
        spread=own.spread,
        cases=Cases(
            rows,
            data.identity[rows],
            data.recording[rows],
            reality.different[reality.which],
            own.faces,
            own.scores,
        ),
        cosines=drawn_cosines(own.scores["cosine_to_real"], reality.gallery, seed),
    )


def why_impossible(config: TrainConfig, data: Dataset, length_s: float) -> str | None:
    """Why a model cannot be measured at a length of speech on a data set; None where it can."""
    if length_s != config.speech_window_s and not isinstance(config.encoder, PooledEncoderConfig):
        return f"{length_s:g} s of speech: this model takes exactly {config.speech_window_s:g} s"
    if round(length_s * SAMPLE_RATE_HZ) > data.speech.shape[1]:
        have_s = data.speech.shape[1] / SAMPLE_RATE_HZ
        return f"{length_s:g} s of speech: the windows of {data.root} have {have_s:g} s"
    return None


def check_lengths(config: TrainConfig, data: Dataset) -> None:
    """Raise ConfigError unless an epoch can be measured at every length of speech that the settings name."""
    for length_s in config.evaluation.lengths:
        reason = why_impossible(config, data, length_s)
        if reason:
            raise ConfigError("evaluation.lengths", f"evaluation.lengths: {reason}")


def _rows(
    model: Wav2Pix, data: Dataset, split: Split | Literal["all"], speakers: Speakers
) -> tuple[Labels, tuple[str, ...]]:
    """The pairs of a split that are of such speakers, and the names of the speakers left out as unknown."""
    rows = np.arange(len(data)) if split == "all" else data.indices(split)
    known = np.isin(np.array(data.identities), model.identities)
    unknown = tuple(name for name, is_known in zip(data.identities, known, strict=True) if not is_known)
    rows = rows[known[data.identity[rows]] == (speakers == "known")]
    if len(rows):
        return rows, unknown if speakers == "known" else ()
    if speakers == "unseen":
        raise DataError(
            f"{data.root}: no pair of split '{split}' is of a speaker that the model was not trained on "
            f"(it was on {', '.join(model.identities)}); train one with hold_out_identities"
        )
    raise DataError(
        f"{data.root}: no pair of split '{split}' is of an identity that the model knows "
        f"(it knows {', '.join(model.identities)})"
    )


def _notes(reality: Reality, recordings: Recordings, fid: bool) -> Iterator[str]:
    """What a reader of the figures has to know."""
    if recordings.count < 2:
        yield "All pairs are of one recording: there are no intervals."
    elif recordings.count < FEW_RECORDINGS:
        yield f"The intervals rest on {recordings.count} recordings only."
    if len(reality.names) < 2:
        yield f"All pairs are of {reality.names[0]}: identity accuracy, recall and ranks say nothing."
    num_features = reality.features.shape[1]
    if fid and len(reality.faces) < 4 * num_features:
        yield (
            f"FID from {len(reality.faces)} faces in {num_features} dimensions is far too high: compare it at "
            "the same number of pairs only."
        )
