"""Bad videos: each gives one clear line and is counted, and the rest becomes the data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from tests.wav2pix.data import clips
from wav2pix.data.check import find_leaks
from wav2pix.data.cli import app
from wav2pix.data.format import Dataset, open_dataset

WINDOW_S = 1


@dataclass(frozen=True)
class Build:
    """One build of a list with everything that can be wrong.

    Attributes:
        folder: of the list and its videos.
        lines: what was printed, without the place of the folder.
        data: what came of it.
    """

    folder: Path
    lines: list[str]
    data: Dataset

    def about(self, name: str) -> list[str]:
        """The lines that name a file."""
        return [line for line in self.lines if name in line]

    def times(self, name: str) -> list[float]:
        """Times of the pairs of a video."""
        recording = next(video["recording"] for video in self.data.source["videos"] if video["name"] == name)
        rows = self.data.recording == self.data.recordings.index(recording)
        return [float(time) for time in self.data.time_s[rows]]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("videos")
    rows = [f"{row},," for row in _write_bad_videos(folder)]
    for name in ("overlapping.mp4", "parted.mp4"):
        clips.write_clip(folder / name)
    rows += ["ada,overlapping.mp4,0,6", "ben,overlapping.mp4,3,8", "ada,parted.mp4,0,4", "ben,parted.mp4,4,8"]
    (folder / "videos.csv").write_text("\n".join(["identity,video,start,end", *rows, ""]), encoding="utf-8")
    out = folder / "data"
    options = ["--window", str(WINDOW_S), "--image-size", "64", "--workers", "1"]
    result = CliRunner().invoke(app, ["build", str(folder / "videos.csv"), "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    return Build(folder, result.output.replace(f"{folder}/", "").splitlines(), open_dataset(out))


def _write_bad_videos(folder: Path) -> list[str]:
    clips.write_clip(folder / "ada.mp4")
    ben = clips.scene([clips.face(1)])
    clips.write_clip(folder / "ben.mp4", paint=lambda _: ben, sound=clips.speech(8, 1))
    clips.without_sound(folder / "mute.mp4")
    clips.without_picture(folder / "blind.mp4")
    clips.without_face(folder / "wall.mp4")
    clips.with_two_faces(folder / "two.mp4")
    clips.corrupt_in_the_middle(folder / "corrupt.mp4")
    clips.cut_off(folder / "cut.mp4")
    clips.rotated(folder / "rotated.mp4")
    clips.with_odd_dimensions(folder / "odd.mp4")
    clips.with_8_bit_sound(folder / "8bit.mov")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video\n" * 50)
    (folder / "folder.mp4").mkdir()
    names = sorted(path.name for path in folder.iterdir())
    return [
        "ada,ada.mp4",
        *(f"{'ben' if name == 'ben.mp4' else 'ada'},{name}" for name in names),
        "ada,missing.mp4",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "mute.mp4: no audio track: skipped",
        "blind.mp4: no video track: skipped",
        "wall.mp4: no face at any of 7 instants: skipped",
        "two.mp4: no instant gives a pair (7 several faces): skipped",
        "cut.mp4: not a video that can be read (Invalid data found when processing input): skipped",
        "text.mp4: not a video that can be read (Invalid data found when processing input): skipped",
        "empty.mp4: the file is empty: skipped",
        "folder.mp4: a folder, not a video: skipped",
        "missing.mp4: no such file: skipped",
        "videos.csv:4: the same as line 2: skipped",
    ],
    ids=lambda line: line.partition(":")[0],
)
def test_what_cannot_be_used_is_one_line(build: Build, line: str) -> None:
    name, _, _ = line.partition(": ")
    assert build.about(f"{name}:") == [line]


def test_a_corrupt_middle_is_left_out_and_the_rest_is_used(build: Build) -> None:
    (line,) = build.about("corrupt.mp4")
    assert line.startswith("corrupt.mp4: cannot be decoded in places (picture 12.0 to 1")
    assert line.endswith("): the rest is used")
    times = build.times("corrupt.mp4")
    assert set(range(1, 12)) <= {round(time, 3) for time in times}
    assert max(times) > 20
    assert not [time for time in times if 12.1 < time < 17.9]


@pytest.mark.parametrize("name", ["ada.mp4", "rotated.mp4", "odd.mp4", "8bit.mov"])
def test_unusual_videos_are_used_without_a_word(build: Build, name: str) -> None:
    assert build.about(name) == []
    assert build.times(name) == [1, 2, 3, 4, 5, 6, 7]


def test_a_lying_picture_is_set_upright(build: Build) -> None:
    ada, rotated = (_first_face(build, name) for name in ("ada.mp4", "rotated.mp4"))
    assert abs(ada - rotated).mean() < 8 < abs(ada - rotated[::-1]).mean()


def test_8_bit_sound_is_loud_as_it_was(build: Build) -> None:
    ada, eight_bit = (_first_window(build, name) for name in ("ada.mp4", "8bit.mov"))
    assert 0.7 < eight_bit.std() / ada.std() < 1.2


def test_a_stretch_of_two_identities_is_refused_for_both(build: Build) -> None:
    assert build.about("overlapping.mp4") == [
        "videos.csv:19: gives overlapping.mp4 to ben where line 18 gives it to ada; both are left out: skipped"
    ]


def test_two_stretches_of_two_identities_stay_in_one_split(build: Build) -> None:
    assert build.about("parted.mp4") == [
        "parted.mp4: different stretches of it are of ada and ben: kept in one split"
    ]
    named = [video for video in build.data.source["videos"] if video["name"] == "parted.mp4"]
    rows = [build.data.recording == build.data.recordings.index(video["recording"]) for video in named]
    assert [video["identity"] for video in named] == ["ada", "ben"]
    assert len({str(split) for own in rows for split in build.data.split[own]}) == 1


def test_everything_bad_is_counted(build: Build) -> None:
    counted = dict(line.split(": ") for line in build.lines if line.split(": ")[-1].isdigit())
    assert counted == {
        "damaged": "1",
        "duplicate row": "1",
        "no face": "1",
        "no pair": "1",
        "no picture": "1",
        "no sound": "1",
        "not a video": "2",
        "shared video": "1",
        "two identities": "1",
        "unreadable": "3",
    }
    assert build.data.source["findings"] == {kind: int(count) for kind, count in counted.items()}


def test_the_rest_is_a_data_set_without_leaks(build: Build) -> None:
    assert build.data.identities == ("ada", "ben")
    assert find_leaks(build.data) == []


def test_the_report_names_every_problem(build: Build) -> None:
    report = (build.folder / "data" / "report.html").read_text(encoding="utf-8")
    for text in ("no audio track", "no video track", "the file is empty", "no such file", "corrupt.mp4"):
        assert text in report


def test_a_url_is_skipped_without_the_option_to_fetch_it(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/talk.mp4"
    (tmp_path / "videos.csv").write_text(f"identity,video\nada,{url}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["build", str(tmp_path / "videos.csv"), "--out", str(tmp_path / "data")])
    assert f"videos.csv:2: {url} needs --download: skipped" in result.output
    assert result.exit_code != 0


def test_strict_ends_at_the_first_bad_video(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("identity,video\nada,gone.mp4\n", encoding="utf-8")
    arguments = ["build", str(tmp_path / "videos.csv"), "--out", str(tmp_path / "data"), "--strict"]
    result = CliRunner().invoke(app, arguments)
    assert "gone.mp4: no such file; --strict stops here" in str(result.exception)
    assert not (tmp_path / "data").exists()


def _first_face(build: Build, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(build.data.faces[_first_row(build, name)], np.float64)


def _first_window(build: Build, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(build.data.speech[_first_row(build, name)], np.float64)


def _first_row(build: Build, name: str) -> int:
    recording = next(video["recording"] for video in build.data.source["videos"] if video["name"] == name)
    return int(np.flatnonzero(build.data.recording == build.data.recordings.index(recording))[0])
