"""The report of a data set from videos: what it counts, and that names from outside stay text."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wav2pix.data.format import open_dataset
from wav2pix.data.videos.built import Built, VideoSummary
from wav2pix.data.videos.report import mosaic, write_report

EVIL = "<script>alert('x')</script>&\"'"


def video(**values: object) -> VideoSummary:
    plain = VideoSummary("speaker00", "speaker00-00", "a.mp4", 61.0, 4, {"no face": 5}, None, "CC BY", "")
    return replace(plain, **values)


@pytest.fixture
def report(tiny_data: Path, tmp_path: Path) -> str:
    """Of the tiny data set, as if it came from three videos."""
    videos = (
        video(gender="f"),
        video(name="b.mp4", recording="speaker00-01", pairs=1, dropped={"no face": 1, "blurred": 9}),
        video(
            identity="speaker01",
            name=EVIL,
            recording="",
            pairs=0,
            dropped={},
            problem=f"no {EVIL}",
            seconds=3600,
        ),
    )
    built = Built(open_dataset(tiny_data), videos, Counter({"no sound": 1}))
    return write_report(tmp_path, built).read_text(encoding="utf-8")


def test_it_counts_pairs_and_reasons_the_most_frequent_first(report: str) -> None:
    labels = ["became pairs (25 %)", "blurred (45 %)", "no face (30 %)"]
    places = [report.index(label) for label in labels]
    assert places == sorted(places)
    assert "72 pairs of a face of 64 px and 1 s of speech from 18 recordings of 3 identities" in report
    assert "1:02:02 of video in 3 parts" in report


def test_names_from_outside_stay_text(report: str) -> None:
    assert EVIL not in report and "<script" not in report
    assert report.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;&quot;&#x27;") == 3


def test_it_needs_nothing_from_elsewhere(report: str) -> None:
    assert "http" not in report and "src=" in report
    assert report.count("<img ") == report.count('src="data:image/png;base64,') == 3


def test_it_lists_problems_and_videos_with_their_split(report: str, tiny_data: Path) -> None:
    assert "Found while reading: no sound: 1." in report
    data = open_dataset(tiny_data)
    split = data.split[data.recording == data.recordings.index("speaker00-00")][0]
    row = report[report.rindex("<td>speaker00-00</td>") :].partition("</tr>")[0]
    assert row.endswith(f"<td>5 no face</td><td>{split}</td><td>CC BY</td>")


def test_a_mosaic_has_ten_faces_in_a_line_and_grey_after_the_last() -> None:
    faces = [np.full((64, 64, 3), 20 * number, np.uint8) for number in range(12)]
    sheet = mosaic(faces)
    assert sheet.shape == (96, 480, 3)
    assert [int(value) for value in sheet[24, 24::48, 0]] == [20 * number for number in range(10)]
    assert [int(value) for value in sheet[72, 24::48, 0]] == [200, 220] + [128] * 8
    assert mosaic(faces[:1]).shape == (48, 48, 3)
