"""What an evaluation was of, the numbers that came of it, and how they are written for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wav2pix.evaluation import Evaluation, Measure


@dataclass(frozen=True)
class Result:
    """Evaluations of one model on one data set.

    Attributes:
        model: as the user named it.
        data: folder of the data set.
        data_hash: of its content.
        split: ``train``, ``validation``, ``test`` or ``all``.
        parts: one evaluation for known speakers, one for unseen ones, or both.
    """

    model: str
    data: Path
    data_hash: str
    split: str
    parts: tuple[Evaluation, ...]

    def title(self, part: Evaluation) -> str:
        """Which speakers were measured, for a heading."""
        if part.speakers == "unseen":
            return "speakers never seen in training"
        heard = self.split in ("train", "all")
        return "speakers of the training" + (", recordings of the training among them" if heard else "")


def as_tree(result: Result) -> dict[str, Any]:
    """Everything but pictures, as JSON can hold it; a number that is not finite becomes null."""
    return {
        "model": result.model,
        "data": str(result.data),
        "data_hash": result.data_hash,
        "split": result.split,
    } | {part.speakers: _part(part) for part in result.parts}


def lengths_of(part: Evaluation) -> dict[float, Mapping[str, Measure]]:
    """Measures by seconds of speech, ascending, the model's own length among them."""
    every = {part.length_s: part.measures} | dict(part.by_length)
    return dict(sorted(every.items()))


def number(value: float) -> str:
    """A measure for people: four decimals, two where it is large."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def interval(measure: Measure) -> str:
    """Its confidence interval, else its standard error, else nothing."""
    if measure.low is not None and measure.high is not None:
        return f"[{number(measure.low)}, {number(measure.high)}]"
    return f"± {number(measure.standard_error)}" if measure.standard_error is not None else ""


def _part(part: Evaluation) -> dict[str, Any]:
    return {
        "num_pairs": part.num_pairs,
        "num_recordings": part.num_recordings,
        "identities": part.identities,
        "unknown_identities": part.unknown_identities,
        "features": part.features,
        "length_s": part.length_s,
        "measures": _measures(part.measures),
        "by_length": {f"{length_s:g}": _measures(of) for length_s, of in part.by_length.items()},
        "notes": part.notes,
    }


def _measures(measures: Mapping[str, Measure]) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            key: value if value is not None and math.isfinite(value) else None
            for key, value in asdict(measure).items()
        }
        for name, measure in measures.items()
    }
