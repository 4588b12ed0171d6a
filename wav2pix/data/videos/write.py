"""The parts of all videos become a data set, without being in memory together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wav2pix.data.format import open_dataset, write_dataset
from wav2pix.data.likeness import near_faces, thumbnails
from wav2pix.data.overlaps import shared_runs
from wav2pix.data.pairs import Pairs
from wav2pix.data.splits import split_pairs
from wav2pix.data.videos.built import Built, VideoSummary
from wav2pix.data.videos.part import Part
from wav2pix.data.videos.plan import Job
from wav2pix.data.videos.report import write_report
from wav2pix.data.videos.settings import SAMPLE_RATE_HZ, BuildSettings
from wav2pix.errors import DataError

_BLOCK = 256

Usable = Sequence[tuple[Job, Part]]


def write_built(
    root: Path,
    usable: Usable,
    summaries: tuple[VideoSummary, ...],
    settings: BuildSettings,
    findings: Counter[str],
    *,
    overwrite: bool,
) -> Built:
    """Write the data set with its report, completely or not at all.

    Args:
        root: the folder to make.
        usable: the jobs that gave pairs, and their parts.
        summaries: of all rows.
        settings: of the build.
        findings: number of findings by kind.
        overwrite: replace a data set that is there already.

    Raises:
        DataError: there is no pair, one identity only, or the disk refuses.
    """
    _check_identities(usable)
    pairs = _pairs(usable, settings)

    def report(folder: Path) -> None:
        write_report(folder, Built(replace(open_dataset(folder), root=root), summaries, findings))

    data = write_dataset(
        root,
        speech=_windows(usable, settings.window_samples),
        faces=_faces(usable),
        pairs=pairs,
        sample_rate_hz=SAMPLE_RATE_HZ,
        source={
            "kind": "videos",
            **settings.source(),
            "findings": dict(sorted(findings.items())),
            "videos": [asdict(summary) for summary in summaries],
        },
        overwrite=overwrite,
        finish=report,
    )
    return Built(data, summaries, findings)


def _check_identities(usable: Usable) -> None:
    names = {job.row.identity for job, _ in usable}
    if not names:
        raise DataError("not a single pair of a face and speech was found: no data set was written")
    if len(names) == 1:
        raise DataError(
            f"'{names.pop()}' is the only identity with usable pairs, and training needs faces of another one "
            "for its wrong pairs: add videos of a second identity; what is finished is kept"
        )


def _pairs(usable: Usable, settings: BuildSettings) -> Pairs:
    counts = [len(part.times_s) for _, part in usable]
    names, identity = np.unique([job.row.identity for job, _ in usable], return_inverse=True)
    recording = np.repeat(np.arange(len(usable)), counts)
    of_pair = identity.astype(np.int64)[recording]
    return Pairs(
        face=np.arange(len(recording), dtype=np.int64),
        identity=names[of_pair],
        recording=np.array([job.recording for job, _ in usable])[recording],
        time_s=np.concatenate([part.times_s for _, part in usable]),
        split=split_pairs(of_pair, recording, seed=settings.seed, inseparable=_inseparable(usable, recording)),
    )


def _inseparable(usable: Usable, recording: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Recordings that are of the same video, or share sound or nearly a face."""
    found: set[tuple[int, int]] = set()
    first_of: dict[object, int] = {}
    for number, (job, _) in enumerate(usable):
        found.add((first_of.setdefault(job.video_key, number), number))
    small = np.concatenate([thumbnails(job.folder.open_faces()) for job, _ in usable])
    found |= {(int(recording[i]), int(recording[j])) for i, j, _ in near_faces(small, recording)}
    found |= {(run.first, run.second) for run in shared_runs([job.folder.open_sound() for job, _ in usable])}
    return sorted((min(pair), max(pair)) for pair in found if pair[0] != pair[1])


def _windows(usable: Usable, length: int) -> Iterator[npt.NDArray[np.int16]]:
    for job, part in usable:
        sound = job.folder.open_sound()
        for start in range(0, len(part.first_samples), _BLOCK):
            firsts = part.first_samples[start : start + _BLOCK]
            yield np.stack([sound[first : first + length] for first in firsts])


def _faces(usable: Usable) -> Iterator[npt.NDArray[np.uint8]]:
    for job, part in usable:
        faces = job.folder.open_faces()
        for start in range(0, len(part.times_s), _BLOCK):
            yield faces[start : start + _BLOCK]
