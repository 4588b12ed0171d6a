"""Proof that the splits of a data set are apart, and what a data set holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wav2pix.data.format import Dataset, content_hash_of
from wav2pix.data.likeness import near_faces, thumbnails
from wav2pix.data.overlaps import shared_runs
from wav2pix.data.pairs import SPLITS


@dataclass(frozen=True)
class Leak:
    """Two pairs in different splits that are not independent.

    Attributes:
        first, second: numbers of the pairs.
        kind: ``recording``, ``samples``, ``face`` or ``near face``.
        detail: what they have in common, in words.
    """

    first: int
    second: int
    kind: str
    detail: str

    def describe(self, data: Dataset) -> str:
        """One line that says where to look."""
        return f"{_place(data, self.first)} and {_place(data, self.second)}: {self.detail}"


def find_leaks(data: Dataset) -> list[Leak]:
    """Everything that two splits share: recordings, raw samples (400 or more in a row), faces and near faces.

    The bounds are explained in :mod:`wav2pix.data.overlaps` and :mod:`wav2pix.data.likeness`. A window that was
    resampled shares no raw samples with its neighbours, so for those the recordings have to be right.
    """
    return [*_split_recordings(data), *_shared_samples(data), *_same_faces(data), *_near_faces(data)]


def is_unchanged(data: Dataset) -> bool:
    """Whether the files still hold what was written."""
    return content_hash_of(data) == data.content_hash


def summarise(data: Dataset) -> dict[str, Any]:
    """Counts and durations, in all and by identity and split, ready for JSON."""
    window_s = data.speech.shape[1] / data.sample_rate_hz
    by_identity = {}
    for index, name in enumerate(data.identities):
        own = data.identity == index
        by_identity[name] = {
            "pairs": int(own.sum()),
            "faces": len(np.unique(data.face[own])),
            "recordings": len(np.unique(data.recording[own])),
            "speech_s": round(float(own.sum()) * window_s, 3),
            "splits": {
                split: {
                    "pairs": int((own & (data.split == split)).sum()),
                    "recordings": len(np.unique(data.recording[own & (data.split == split)])),
                }
                for split in SPLITS
            },
        }
    return {
        "root": str(data.root),
        "pairs": len(data),
        "faces": len(data.faces),
        "recordings": len(data.recordings),
        "image_size": data.image_size,
        "sample_rate_hz": data.sample_rate_hz,
        "window_s": window_s,
        "speech_s": round(len(data) * window_s, 3),
        "splits": {split: len(data.indices(split)) for split in SPLITS},
        "identities": by_identity,
        "content_hash": data.content_hash,
        "source": dict(data.source),
    }


def _place(data: Dataset, pair: int) -> str:
    recording = data.recordings[data.recording[pair]]
    return f"{data.split[pair]} pair {pair} ({recording}, {data.time_s[pair]:g} s)"


def _split_recordings(data: Dataset) -> Iterator[Leak]:
    for recording, name in enumerate(data.recordings):
        rows = np.flatnonzero(data.recording == recording)
        yield from _first_elsewhere(data, rows, "recording", f"both in recording {name}")


def _same_faces(data: Dataset) -> Iterator[Leak]:
    order = np.argsort(data.face, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(data.face[order])) + 1):
        yield from _first_elsewhere(data, rows, "face", f"the same face {data.face[rows[0]]}")


def _first_elsewhere(data: Dataset, rows: Any, kind: str, detail: str) -> Iterator[Leak]:
    """For things that belong together: the first of them, and the first one in each other split."""
    splits, first = np.unique(data.split[rows], return_index=True)
    if len(splits) > 1:
        places = sorted(rows[first].tolist())
        for other in places[1:]:
            yield Leak(places[0], other, kind, detail)


def _shared_samples(data: Dataset) -> Iterator[Leak]:
    for run in shared_runs(data.speech):
        if data.split[run.first] != data.split[run.second]:
            yield Leak(run.first, run.second, "samples", f"{run.length} samples in a row are the same")


def _near_faces(data: Dataset) -> Iterator[Leak]:
    used, pair = np.unique(data.face, return_index=True)
    splits = np.searchsorted(np.sort(SPLITS), data.split[pair])
    for i, j, distance in near_faces(thumbnails(data.faces)[used], splits):
        first, second = sorted((int(pair[i]), int(pair[j])))
        detail = f"nearly the same face (distance {distance:.1f})"
        yield Leak(first, second, "near face", detail)
