"""``report.html`` of a data set made from videos: what became of them, in one file that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from wav2pix.data.format import Dataset
from wav2pix.data.pairs import SPLITS
from wav2pix.html import Html, bars, figure, heading, joined, page, paragraph, picture, table

if TYPE_CHECKING:
    from wav2pix.data.videos.build import Built, VideoSummary

REPORT = "report.html"
_MOSAIC_PX = 48
_MOSAIC_COLUMNS = 10
_MOST_FACES = 40  # of one identity
_MOST_FACES_IN_ALL = 2400  # keeps the file below some 15 MB with hundreds of identities
_MOST_ROWS = 1000


def write_report(folder: Path, built: Built) -> Path:
    """Write the report of a finished build.

    Args:
        folder: that of the data set, which is to hold the report.
        built: the data set, whose arrays can be read, and what became of each video.

    Returns:
        The file.
    """
    path = folder / REPORT
    path.write_text(_render(built), encoding="utf-8")
    return path


def _render(built: Built) -> Html:
    data, videos = built.data, built.videos
    parts = [
        paragraph(_in_short(built)),
        paragraph(_made_with(data.source), soft=True),
        heading("What became of the instants that were looked at"),
        _fate(videos),
        heading("Identities"),
        _identities(data, videos),
        heading("Split"),
        paragraph(
            "A recording is in one split only, with every recording that shares sound or a face with it."
        ),
        _split(data),
        heading("Faces"),
        paragraph(
            f"Up to {_faces_each(data)} of each identity, from its first recording to its last.", soft=True
        ),
        *_mosaics(data),
        heading("Videos with problems"),
        _problems(videos, built.findings),
        heading("Videos"),
        _videos(data, videos),
    ]
    return page(f"Data set {data.root.name}", joined(parts))


def _in_short(built: Built) -> str:
    data, looked_at_s = built.data, sum(video.seconds for video in built.videos)
    window_s = data.speech.shape[1] / data.sample_rate_hz
    return (
        f"{len(data):,} pairs of a face of {data.image_size} px and {window_s:g} s of speech from "
        f"{len(data.recordings):,} recordings of {len(data.identities):,} identities; "
        f"{_duration(looked_at_s)} of video in {len(built.videos):,} parts."
    )


def _made_with(source: Mapping[str, Any]) -> str:
    """The settings, which are the plain values of the source."""
    plain = {name: value for name, value in source.items() if isinstance(value, bool | int | float)}
    return "Made with: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plain.items()) + "."


def _fate(videos: tuple[VideoSummary, ...]) -> Html:
    """Pairs and dropped instants by reason, the most frequent first."""
    num_pairs = sum(video.pairs for video in videos)
    dropped = _dropped(videos)
    total = num_pairs + sum(dropped.values())
    rows = [("became pairs", num_pairs), *dropped.most_common()]
    return bars([(f"{name} ({_share(count, total)})", count) for name, count in rows])


def _identities(data: Dataset, videos: tuple[VideoSummary, ...]) -> Html:
    rows = []
    for index, name in enumerate(data.identities):
        own = data.identity == index
        of_it = [video for video in videos if video.identity == name]
        num_looked_at = sum(video.pairs + sum(video.dropped.values()) for video in of_it)
        rows.append(
            (
                name,
                ", ".join(sorted({video.gender for video in of_it} - {""})),
                len(np.unique(data.recording[own])),
                _duration(sum(video.seconds for video in of_it)),
                f"{own.sum():,}",
                _share(int(own.sum()), num_looked_at),
                *(f"{(own & (data.split == split)).sum():,}" for split in SPLITS),
            )
        )
    head = ("identity", "gender", "recordings", "video", "pairs", "of instants", *SPLITS)
    if not any(video.gender for video in videos):
        head, rows = ("identity", *head[2:]), [(row[0], *row[2:]) for row in rows]
    return table(head, rows, numbers=range(len(head) - 7, len(head)))


def _split(data: Dataset) -> Html:
    rows = []
    for split in SPLITS:
        own = data.indices(split)
        rows.append(
            (
                split,
                f"{len(own):,}",
                _share(len(own), len(data)),
                f"{len(np.unique(data.recording[own])):,}",
                f"{len(np.unique(data.identity[own])):,} of {len(data.identities):,}",
            )
        )
    return table(("split", "pairs", "share", "recordings", "identities"), rows, numbers=range(1, 5))


def _mosaics(data: Dataset) -> Iterator[Html]:
    for index, name in enumerate(data.identities):
        rows = np.flatnonzero(data.identity == index)
        order = rows[np.lexsort((data.time_s[rows], data.recording[rows]))]
        _, first = np.unique(data.face[order], return_index=True)
        faces = data.face[order[np.sort(first)]]
        chosen = faces[np.linspace(0, len(faces) - 1, min(len(faces), _faces_each(data))).round().astype(int)]
        pixels = mosaic([np.asarray(data.faces[face]) for face in chosen.tolist()])
        caption = f"{name}: {len(chosen)} of {len(faces):,} faces"
        yield figure(picture(pixels, f"faces of {name}"), caption)


def mosaic(faces: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Small faces side by side, ten in a line, the rest of the last line grey.

    Args:
        faces: (S, S, 3) each.

    Returns:
        (lines * 48, columns * 48, 3).
    """
    columns = min(len(faces), _MOSAIC_COLUMNS)
    lines = -(-len(faces) // columns)
    sheet = np.full((lines, columns, _MOSAIC_PX, _MOSAIC_PX, 3), 128, np.uint8)
    for place, face in enumerate(faces):
        sheet[divmod(place, columns)] = _small(face)
    return sheet.swapaxes(1, 2).reshape(lines * _MOSAIC_PX, columns * _MOSAIC_PX, 3)


def _small(face: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    small = Image.fromarray(face).resize((_MOSAIC_PX, _MOSAIC_PX), Image.Resampling.BOX)
    return np.asarray(small)


def _faces_each(data: Dataset) -> int:
    return max(4, min(_MOST_FACES, _MOST_FACES_IN_ALL // len(data.identities)))


def _problems(videos: tuple[VideoSummary, ...], findings: Counter[str]) -> Html:
    rows = [
        (video.identity, video.name, f"{video.pairs:,}", video.problem) for video in videos if video.problem
    ]
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(findings.items()))
    parts = [table(("identity", "video", "pairs", "problem"), rows, numbers=[2])] if rows else []
    return joined([paragraph(f"Found while reading: {kinds}." if kinds else "None."), *parts])


def _videos(data: Dataset, videos: tuple[VideoSummary, ...]) -> Html:
    split_of = dict(zip(data.recording.tolist(), data.split.tolist(), strict=True))
    splits = {name: split_of[index] for index, name in enumerate(data.recordings)}
    rows = [
        (
            video.recording,
            video.name,
            _duration(video.seconds),
            f"{video.pairs:,}",
            ", ".join(f"{count:,} {reason}" for reason, count in Counter(video.dropped).most_common()),
            splits.get(video.recording, ""),
            video.licence,
        )
        for video in videos[:_MOST_ROWS]
    ]
    head = ("recording", "video", "length", "pairs", "dropped", "split", "licence")
    rest = len(videos) - len(rows)
    more = [paragraph(f"... and {rest:,} more, in dataset.json.", soft=True)] if rest else []
    return joined([table(head, rows, numbers=[2, 3]), *more])


def _dropped(videos: tuple[VideoSummary, ...]) -> Counter[str]:
    total: Counter[str] = Counter()
    for video in videos:
        total.update(video.dropped)
    return total


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds, as on a player."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
