"""Videos become a data set: in parallel, going on after any end, and without a leak between the splits."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import cv2
import numpy as np
import pytest

from wav2pix.data.check import find_leaks, is_unchanged
from wav2pix.data.videos.build import Built, build_dataset
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.errors import DataError

_SETTINGS = BuildSettings(image_size=64, window_s=1)
_SECONDS = 6
_PAIRS = 5  # of a clip: at 1, 2, ... 5 seconds
Build = Callable[..., tuple[Built, list[str]]]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips each of two people, before walls and in light of their own, and their list."""
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    lines = ["identity,video,gender,licence"]
    for person, name in enumerate(("anna", "ben")):
        for take in range(3):
            speech = clips.speech(3 * _SECONDS, person)[take * _SECONDS * 16000 :][: _SECONDS * 16000]
            _write(folder / f"{name}{take}.mp4", person, rng, speech)
            lines.append(f"{name},{name}{take}.mp4,f,CC-BY")
    (folder / "videos.csv").write_text("\n".join(lines))
    return folder


def _write(path: Path, person: int, rng: np.random.Generator, speech: clips.Sound) -> None:
    wall = np.repeat(np.repeat(rng.integers(110, 146, (18, 24, 3)), 10, 0), 10, 1).astype(np.uint8)
    wall[15:165, 45:195] = clips.face(person)
    lamps = [cv2.resize(rng.uniform(0.75, 1.1, (4, 5, 1)), (240, 180))[..., None] for _ in range(_SECONDS)]
    pictures = [np.rint(wall * np.clip(light, 0, 1.1)).clip(0, 255).astype(np.uint8) for light in lamps]
    clips.write_clip(
        path, paint=lambda time: pictures[min(int(time), _SECONDS - 1)], seconds=_SECONDS, sound=speech
    )


@pytest.fixture
def videos(made_once: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made_once, tmp_path / "videos"))


@pytest.fixture
def build(videos: Path, tmp_path: Path) -> Build:
    """Build the data set, and return what came of it and what was said."""

    def build(settings: BuildSettings = _SETTINGS, **options: Any) -> tuple[Built, list[str]]:
        said: list[str] = []
        options = {"workers": 1, "say": said.append} | options
        return build_dataset(videos / "videos.csv", tmp_path / "out", settings, **options), said

    return build


def _list(videos: Path, *lines: str) -> None:
    (videos / "videos.csv").write_text("\n".join(["identity,video,start,end", *lines]))


def test_videos_become_a_data_set(build: Build, tmp_path: Path) -> None:
    built, said = build()
    data = built.data
    assert said == []
    assert data.identities == ("anna", "ben")
    assert data.recordings == ("anna-000", "anna-001", "anna-002", "ben-000", "ben-001", "ben-002")
    assert data.speech.shape == (6 * _PAIRS, 16000)
    assert data.faces.shape == (6 * _PAIRS, 64, 64, 3)
    assert np.allclose(data.time_s, np.tile(np.arange(1, 1 + _PAIRS), 6))
    assert is_unchanged(data)
    assert find_leaks(data) == []
    assert all(len(set(data.split[data.identity == one])) == 3 for one in (0, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "videos"]


def test_what_was_done_is_kept_with_the_data_set(build: Build, videos: Path) -> None:
    built, _ = build(replace(_SETTINGS, margin=0.1))
    source = json.loads(json.dumps(built.data.source))
    assert (source["kind"], source["margin"], source["window_s"]) == ("videos", 0.1, 1)
    assert source["videos"][3] == {
        "identity": "ben",
        "recording": "ben-000",
        "name": "ben0.mp4",
        "seconds": pytest.approx(_SECONDS, abs=0.2),
        "pairs": _PAIRS,
        "dropped": {"too near the start or end": 2},
        "problem": None,
        "licence": "CC-BY",
        "gender": "f",
    }
    assert (built.data.root / "report.html").is_file()
    assert str(videos) not in (built.data.root / "dataset.json").read_text()


def test_the_same_videos_make_the_same_data_set_with_any_number_of_workers(build: Build) -> None:
    one = build()[0].data.content_hash
    reports: list[tuple[float, float]] = []
    two = build(workers=2, overwrite=True, progress=lambda *report: reports.append(report))[0].data.content_hash
    assert one == two
    assert reports[-1][0] == reports[-1][1] == pytest.approx(6 * _SECONDS, abs=1)
    assert multiprocessing.active_children() == []


_PROGRAM = """
import sys
from pathlib import Path
from wav2pix.data.videos.build import build_dataset
from wav2pix.data.videos.settings import BuildSettings
if __name__ == "__main__":
    build_dataset(
        Path(sys.argv[1]) / "videos.csv", Path(sys.argv[2]), BuildSettings(image_size=64, window_s=1), workers=2
    )
"""


def _start(videos: Path, out: Path) -> subprocess.Popen[str]:
    program = out.parent / "program.py"
    program.write_text(_PROGRAM)
    return subprocess.Popen(
        [sys.executable, program, videos, out],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        start_new_session=True,
    )


def _finished(out: Path) -> dict[str, int]:
    """The finished parts, each with the time of its description."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in out.parent.glob(f".{out.name}.parts/*/part.json")
    }


def _wait_for(happened: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_was_ended_goes_on_with_what_is_unfinished(
    build: Build, videos: Path, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "out"
    long = clips.write_clip(videos / "long.mp4", seconds=60, paint=clips.noisy_scene(), sound=clips.speech(60))
    with (videos / "videos.csv").open("a") as file:
        file.write(f"\nben,{long.name},,\n")
    process = _start(videos, out)
    try:
        _wait_for(lambda: len(_finished(out)) >= 2)
        workers = _children(process.pid)
        os.kill(process.pid, how)
        process.wait(timeout=60)
        assert process.stdout is not None
        said = process.stdout.read()
    finally:
        process.kill()
        process.wait(timeout=60)
    assert process.returncode != 0, said
    assert not out.exists()
    _wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    before = _finished(out)
    kept: dict[str, int] = {}
    built, said_then = build(progress=lambda _done, _total: kept.update(_finished(out)))
    assert said_then[0] == f"{len(before)} of 7 videos were finished before"
    assert 2 <= len(before) < 7
    assert before.items() <= kept.items()  # not made again
    assert built.data.recordings[-1] == "ben-003"
    assert find_leaks(built.data) == []
    assert _finished(out) == {}


def _fail_at_the_end(build: Build, videos: Path) -> None:
    """Leave finished parts: a data set of one identity is refused."""
    _list(videos, *(f"anna,anna{take}.mp4,," for take in range(3)))
    with pytest.raises(DataError, match="'anna' is the only identity with usable pairs"):
        build()
    _list(videos, *(f"anna,anna{take}.mp4,," for take in range(3)), "ben,ben0.mp4,,")


def test_finished_videos_are_not_done_again(build: Build, videos: Path) -> None:
    _fail_at_the_end(build, videos)
    _, said = build()
    assert said == ["3 of 4 videos were finished before"]


def test_another_file_or_other_settings_are_done_again(build: Build, videos: Path) -> None:
    _fail_at_the_end(build, videos)
    shutil.copy(videos / "anna1.mp4", videos / "new.mp4")
    (videos / "new.mp4").rename(videos / "anna0.mp4")
    _list(videos, *(f"anna,anna{take}.mp4,," for take in (0, 2)))
    with pytest.raises(DataError, match="only identity"):
        build()
    _list(videos, "anna,anna0.mp4,,", "anna,anna2.mp4,,", "ben,ben0.mp4,,")
    _, said = build(replace(_SETTINGS, margin=0.2))
    assert said == []


def test_a_damaged_part_is_done_again(build: Build, videos: Path, tmp_path: Path) -> None:
    _fail_at_the_end(build, videos)
    first = sorted(tmp_path.glob(".out.parts/*/part.json"))[0]
    first.write_text(first.read_text()[:40])
    _, said = build()
    assert said == ["2 of 4 videos were finished before"]


def test_two_builds_of_one_data_set_do_not_meet(build: Build, videos: Path, tmp_path: Path) -> None:
    met: list[str] = []

    def meet(_done: float, _total: float) -> None:
        if met:
            return
        with pytest.raises(DataError, match="another build works on it"):
            build_dataset(videos / "videos.csv", tmp_path / "out", _SETTINGS)
        met.append("yes")

    build(progress=meet)
    assert met


def test_findings_are_said_again_by_the_build_that_goes_on(build: Build, videos: Path) -> None:
    clips.without_face(videos / "wall.mp4")
    _list(videos, "anna,anna0.mp4,,", "anna,wall.mp4,,")
    with pytest.raises(DataError, match="only identity"):
        build()
    _list(videos, "anna,anna0.mp4,,", "anna,wall.mp4,,", "ben,ben0.mp4,,")
    built, said = build()
    assert said[1:] == [f"{videos}/wall.mp4: no face at any of 7 instants: skipped"]
    assert built.findings == {"no face": 1}
    assert [video.pairs for video in built.videos] == [_PAIRS, 0, _PAIRS]


def test_strict_stops_at_the_first_finding(build: Build, videos: Path) -> None:
    _list(videos, "anna,anna0.mp4,,", "anna,missing.mp4,,", "ben,ben0.mp4,,")
    with pytest.raises(DataError, match=r"missing\.mp4: no such file; --strict stops here"):
        build(strict=True)


def test_copies_and_stretches_of_a_video_stay_in_one_split(build: Build, videos: Path) -> None:
    shutil.copy(videos / "anna0.mp4", videos / "copy.mp4")
    lines = ["anna,anna0.mp4,,", "anna,copy.mp4,,", "ben,ben0.mp4,0,3", "ben,ben0.mp4,3,"]
    _list(videos, *lines, "anna,anna1.mp4,,", "anna,anna2.mp4,,", "ben,ben1.mp4,,", "ben,ben2.mp4,,")
    data = build()[0].data
    splits = {name: set(data.split[data.recording == i]) for i, name in enumerate(data.recordings)}
    assert splits["anna-000"] == splits["anna-001"]
    assert splits["ben-000"] == splits["ben-001"]
    assert len(splits["anna-002"] | splits["anna-003"] | splits["anna-000"]) == 3
    assert find_leaks(data) == []


def test_nothing_usable_is_an_error(build: Build, videos: Path, tmp_path: Path) -> None:
    _list(videos, "anna,missing.mp4,,")
    with pytest.raises(DataError, match="not a single pair of a face and speech was found"):
        build()
    assert not (tmp_path / "out").exists()


def test_a_data_set_with_its_report_is_replaced_and_a_strangers_file_kept(build: Build, videos: Path) -> None:
    root = build()[0].data.root
    with pytest.raises(DataError, match="a data set is there already"):
        build()
    build(overwrite=True)
    (root / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds 'notes\.txt' besides a data set"):
        build(overwrite=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 100}, "--image-size must be 64 or 128"),
        ({"window_s": 0}, "--window must be 0.1 to 60 seconds, not 0"),
        ({"every_s": float("nan")}, "--every must be 0.02 to 3600 seconds, not nan"),
        ({"margin": -1}, "--margin must be 0 to 2 times"),
        ({"min_face_px": 10}, "--min-face must be at least 24 pixels"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(_SETTINGS, **changes)
