"""Synthetic speakers as videos: real files whose faces are found, and folders that are left alone."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from wav2pix.data import camera, synth_videos
from wav2pix.data.camera import Film, make_films
from wav2pix.data.cli import app
from wav2pix.data.exact import Stream
from wav2pix.data.face import make_face
from wav2pix.data.synth_videos import VideoArguments, synthesise_videos, write_film
from wav2pix.data.voice import FRAMES_PER_S, LEAD_FRAMES, make_score, make_voice
from wav2pix.errors import DataError

HARD = (1, 11)  # seed and identity: a bob, glasses and a full beard, which the cascade misses as they are


@pytest.fixture(scope="module")
def film() -> Film:
    return next(make_films(0, 1, recordings=3, seconds=3))


def test_a_video_has_the_picture_and_the_sound_of_its_film(film: Film, tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", film)
    with av.open(tmp_path / "film.mp4") as video:
        picture, sound = video.streams.video[0], video.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        shown = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in video.decode(picture)]
        video.seek(0)
        heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in video.decode(sound)])
    assert [time for time, _ in shown] == pytest.approx(np.arange(72) / 24)
    drawn = list(film.pictures())
    errors = [abs(seen.astype(float) - drawn[number // 3]).mean() for number, (_, seen) in enumerate(shown)]
    assert max(errors) < 4
    said = film.sound / 32768
    assert np.corrcoef(heard[: len(said)], said)[0, 1] > 0.98


def test_the_mouth_is_open_as_far_as_what_is_said_has_it(film: Film) -> None:
    said = make_score(make_voice(0, 1), 3, Stream(0, 1, 0, 2))
    moments = (np.arange(24) / 8 * FRAMES_PER_S).astype(int) + LEAD_FRAMES
    assert (film.views.opening == said.opening[moments]).all()
    assert np.ptp(film.views.opening) > 0.5


def test_the_head_moves_smoothly(film: Film) -> None:
    assert np.abs(np.diff(film.views.shift_x)).max() < 0.02 < np.ptp(film.views.shift_x) * 2


def test_who_is_not_found_is_drawn_so_that_the_builder_is_sure() -> None:
    seed, identity = HARD
    films = list(make_films(seed, identity, recordings=3, seconds=2))
    own = make_face(seed, identity, low_voice=make_voice(seed, identity).f0_hz < 145)
    assert films[0].face != own
    assert (films[0].face.skin, films[0].face.hair) == (own.skin, own.hair)
    assert all(one.face == films[0].face for one in films)
    sure = [camera.confidence(picture) for one in films for picture in list(one.pictures())[::5]]
    assert min(sure) >= 12


def test_the_same_arguments_film_the_same() -> None:
    one, other = (next(make_films(3, 2, recordings=3, seconds=1)) for _ in range(2))
    assert one.face == other.face
    assert (one.sound == other.sound).all()
    assert (next(one.pictures()) == next(other.pictures())).all()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Films take a moment to make; what is in them does not matter to the folder."""
    monkeypatch.setattr(synth_videos, "write_film", lambda path, film: path.write_bytes(film))
    monkeypatch.setattr(synth_videos, "make_films", lambda *_: iter([b"a", b"b", b"c"]))


ARGUMENTS = VideoArguments(identities=2, recordings=3, seconds=1, seed=0)


@pytest.mark.usefixtures("quick")
def test_the_list_names_every_video(tmp_path: Path) -> None:
    listing = synthesise_videos(tmp_path / "out", ARGUMENTS)
    assert listing.read_text(encoding="utf-8").splitlines()[:2] == [
        "identity,video,licence",
        "speaker00,speaker00-00.mp4,synthetic",
    ]
    named = [line.split(",")[1] for line in listing.read_text(encoding="utf-8").splitlines()[1:]]
    assert sorted(named) == sorted(path.name for path in listing.parent.glob("*.mp4"))
    assert len(named) == 6


@pytest.mark.usefixtures("quick")
def test_videos_that_are_there_are_replaced_only_when_told_so(tmp_path: Path) -> None:
    out = tmp_path / "out"
    synthesise_videos(out, ARGUMENTS)
    with pytest.raises(DataError, match="are there already: choose another --out or use --overwrite"):
        synthesise_videos(out, ARGUMENTS)
    before = (out / "videos.csv").stat().st_mtime_ns
    synthesise_videos(out, ARGUMENTS, exist_ok=True)
    assert (out / "videos.csv").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="made otherwise"):
        synthesise_videos(out, VideoArguments(2, 4, 1, 0), exist_ok=True)
    synthesise_videos(out, ARGUMENTS, overwrite=True)
    assert (out / "videos.csv").stat().st_mtime_ns > before


@pytest.mark.usefixtures("quick")
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DataError, match="holds no synthetic videos, so it is left alone"):
        synthesise_videos(tmp_path, ARGUMENTS, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("quick")
def test_the_command_says_where_the_list_is(tmp_path: Path) -> None:
    arguments = ["--identities", "2", "--recordings", "3", "--seconds", "1"]
    result = CliRunner().invoke(app, ["synth", "--videos", "--out", str(tmp_path / "out"), *arguments])
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'out' / 'videos.csv'}: 6 videos of 2 speakers" in result.output


@pytest.mark.parametrize(("identities", "recordings", "seconds"), [(1, 3, 1), (2, 2, 1), (2, 3, 0)])
def test_impossible_arguments_are_refused(identities: int, recordings: int, seconds: int) -> None:
    with pytest.raises(DataError, match="must be at least"):
        VideoArguments(identities, recordings, seconds, 0)
