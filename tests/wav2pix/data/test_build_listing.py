"""The list of videos: every line that cannot be used is named, and the others are."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from wav2pix.data.findings import Findings
from wav2pix.data.videos.listing import Row, read_listing
from wav2pix.errors import DataError


def _read(folder: Path, text: str) -> tuple[list[Row], list[str]]:
    listing = folder / "videos.csv"
    listing.write_text(text, encoding="utf-8")
    said: list[str] = []
    return read_listing(listing, Findings(said.append)), [line.removeprefix(f"{folder}/") for line in said]


def test_columns_may_be_in_any_order_and_times_in_any_form(tmp_path: Path) -> None:
    rows, said = _read(
        tmp_path,
        "\ufeffEnd, identity ,video,start,licence,gender\n"
        "1:02:03.5,anna,a.mp4,1:30,CC-BY,f\n"
        "\n"
        '90, ben ,"a, b.mp4",,,\n'
        ",ben,https://videos.example/1,,,\n",
    )
    assert said == []
    assert rows == [
        Row(2, "anna", "a.mp4", 90, 3723.5, "f", "CC-BY"),
        Row(4, "ben", "a, b.mp4", 0, 90, "", ""),
        Row(5, "ben", "https://videos.example/1", 0, math.inf, "", ""),
    ]
    assert [row.is_url for row in rows] == [False, False, True]


@pytest.mark.parametrize("name", ["path", "url"])
def test_the_video_may_be_called_path_or_url(tmp_path: Path, name: str) -> None:
    rows, _ = _read(tmp_path, f"identity,{name}\nanna,a.mp4\n")
    assert rows[0].video == "a.mp4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("identity,vidoe\n", r"videos.csv:1: no column 'vidoe'; did you mean 'video'\?"),
        ("identity,video,xyz\n", "videos.csv:1: no column 'xyz'; there are identity, video, start"),
        ("identity,start\n", "videos.csv:1: the column 'video' is missing; the first line names the columns"),
        ("video\n", "videos.csv:1: the column 'identity' is missing"),
        ("", "videos.csv:1: the column 'identity' is missing"),
        ("identity,video,url\n", "videos.csv:1: the column 'video' is there more than once"),
        ("identity,video\nanna,a,b.mp4\n", "videos.csv:2: 3 cells where the first line names 2 columns; quote"),
    ],
)
def test_a_file_with_wrong_columns_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _read(tmp_path, text)


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"videos\.csv: no such file: a CSV file with the columns identity,video"
    ):
        read_listing(tmp_path / "videos.csv", Findings(print))
    (tmp_path / "videos.csv").write_bytes(b"identity,video\n\xff\xfe\n")
    with pytest.raises(DataError, match="cannot be read as a CSV file"):
        read_listing(tmp_path / "videos.csv", Findings(print))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",b.mp4,,", "no identity"),
        ("ben,,,", "no video"),
        ("ben,b.mp4,soon,", "the start, 'soon', is no time: seconds, m:ss or h:mm:ss"),
        ("ben,b.mp4,,1:75", "the end, '1:75', is no time"),
        ("ben,b.mp4,-5,", "the start, '-5', is no time"),
        ("ben,b.mp4,nan,", "the start, 'nan', is no time"),
        ("ben,b.mp4,0:1:2:3,", "the start, '0:1:2:3', is no time"),
        ("ben,b.mp4,20,10", "the end, 10, is not after the start, 20"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_used(tmp_path: Path, line: str, reason: str) -> None:
    rows, (said,) = _read(tmp_path, f"identity,video,start,end\nanna,a.mp4,,\n{line}\nanna,c.mp4,,\n")
    assert [row.video for row in rows] == ["a.mp4", "c.mp4"]
    assert said.startswith(f"videos.csv:3: {reason}")
    assert said.endswith(": skipped")


def test_a_stretch_that_is_listed_twice_is_used_once(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    rows, said = _read(
        tmp_path,
        "identity,video,start,end\nanna,a.mp4,0,10\nanna,./a.mp4,0,10\nanna,link.mp4,9,12\nanna,a.mp4,10,20\n",
    )
    assert [row.line for row in rows] == [2, 5]
    assert said == [
        "videos.csv:3: the same as line 2: skipped",
        "videos.csv:4: overlaps with line 2: skipped",
    ]


def test_a_stretch_that_is_given_to_two_people_is_given_to_none(tmp_path: Path) -> None:
    rows, said = _read(tmp_path, "identity,video\nanna,a.mp4\nanna,b.mp4\nben,a.mp4\n")
    assert [row.video for row in rows] == ["b.mp4"]
    assert said == [
        "videos.csv:4: gives a.mp4 to ben where line 2 gives it to anna; both are left out: skipped"
    ]


def test_different_stretches_of_a_video_may_be_of_two_people(tmp_path: Path) -> None:
    rows, said = _read(tmp_path, "identity,video,start,end\nanna,a.mp4,0,60\nben,a.mp4,1:00,\n")
    assert len(rows) == 2
    assert said == ["a.mp4: different stretches of it are of anna and ben: kept in one split"]
