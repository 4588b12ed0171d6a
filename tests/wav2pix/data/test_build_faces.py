"""One sure, large and sharp face makes an instant a pair, and speech that sounds so if that is wished."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import cv2
import numpy as np
import pytest

from wav2pix.data.videos.activity import sounds_like_speech
from wav2pix.data.videos.decode import Frame, FrameReader, open_video
from wav2pix.data.videos.detect import HaarDetector, make_detector
from wav2pix.data.videos.faces import cut_out, sharpness, take_face
from wav2pix.data.videos.part import make_part
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.errors import DataError

_SETTINGS = BuildSettings(image_size=64, window_s=1)


def _frame(picture: clips.Picture) -> Frame:
    return Frame(
        0.0, picture.shape[1], picture.shape[0], av.VideoFrame.from_ndarray(picture, format="rgb24"), 0
    )


def _take(picture: clips.Picture, **changes: Any) -> clips.Picture | str:
    settings = replace(_SETTINGS, **changes)
    return take_face(_frame(picture), make_detector(settings), settings)


@pytest.mark.parametrize("size", [72, 100, 200, 400])
def test_a_face_is_found_where_it_is_whatever_its_size(size: int) -> None:
    picture = clips.scene([clips.face(0, size), np.full((8, 8, 3), 128, np.uint8)], 1000, 500)
    (face,) = HaarDetector(40).find(_frame(picture))
    assert face.confidence >= HaarDetector(40).min_confidence
    assert 0.4 < face.side / size < 1
    x, y = face.centre
    assert abs(x - 250) < 0.15 * size
    assert abs(y - 250) < 0.15 * size


def test_the_face_has_the_size_asked_for() -> None:
    assert [_take(clips.scene([clips.face()]), image_size=size).shape for size in (64, 128)] == [  # type: ignore[union-attr]
        (64, 64, 3),
        (128, 128, 3),
    ]


def test_reasons_to_take_no_face() -> None:
    one, both = clips.scene([clips.face()]), clips.scene([clips.face(0, 170), clips.face(1, 120)], 360)
    assert _take(np.full((180, 240, 3), 128, np.uint8)) == "no face"
    assert _take(both) == "several faces"
    assert _take(one, min_confidence=1000.0) == "unsure face"
    assert _take(one, min_face_px=170) == "no face"
    assert _take(np.asarray(cv2.GaussianBlur(one, (0, 0), 4.0), np.uint8)) == "blurred"


def test_a_face_in_the_background_is_no_second_one() -> None:
    near, far = clips.face(0, 400), clips.face(1, 70)
    assert not isinstance(_take(clips.scene([near, far], 900, 500)), str)
    assert _take(clips.scene([clips.face(0, 150), far], 400, 200)) == "several faces"


def test_of_several_faces_the_largest_is_taken_when_asked_for() -> None:
    both = clips.scene([clips.face(0, 170), clips.face(1, 120)], 360)
    taken, left = _take(both, largest_face=True), _take(both[:, :180])
    assert not isinstance(taken, str)
    assert not isinstance(left, str)
    assert np.abs(taken.astype(int) - left).mean() < 12


def test_a_margin_shows_more_and_stays_in_the_picture() -> None:
    picture = clips.scene([clips.face()], 300, 240)
    (face,) = HaarDetector(40).find(_frame(picture))
    plain, wide, widest = (cut_out(picture, face, margin).shape for margin in (0, 0.25, 2))
    assert abs(plain[0] - face.side) <= 1
    assert abs(wide[0] - 1.5 * face.side) <= 2
    assert widest[:2] == (240, 240)
    corner = replace(face, left=-20.0, top=-30.0)
    assert cut_out(picture, corner, 0).shape == plain


def test_sharpness_falls_with_blur_and_not_with_size() -> None:
    large, small = clips.face(0, 300), clips.face(0, 100)
    assert sharpness(large) == pytest.approx(sharpness(small), rel=0.6)
    blurred = [
        sharpness(np.asarray(cv2.GaussianBlur(large, (0, 0), sigma), np.uint8)) for sigma in (2.0, 4.0, 8.0)
    ]
    assert sharpness(large) > blurred[0] > blurred[1] > blurred[2]


def test_a_file_that_is_no_yunet_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "other.onnx"
    with pytest.raises(DataError, match=r"other\.onnx: cannot be read \(No such file"):
        make_detector(replace(_SETTINGS, yunet=model))
    model.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"other\.onnx: no YuNet face detector"):
        make_detector(replace(_SETTINGS, yunet=model))


def test_frames_are_turned_as_the_file_says(tmp_path: Path) -> None:
    with open_video(clips.rotated(tmp_path / "rotated.mp4")) as container:
        _, frame = next(FrameReader(container).read([1.0]))
    upright = clips.scene([clips.face()])
    assert frame.rgb().shape == upright.shape
    assert np.abs(frame.rgb().astype(int) - upright).mean() < 4


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    picture = clips.scene([clips.face()])
    squeezed = np.asarray(cv2.resize(picture, (120, 180), interpolation=cv2.INTER_AREA), np.uint8)
    with av.open(tmp_path / "wide.mp4", "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"preset": "ultrafast", "crf": "12"})
        stream.height, stream.width = squeezed.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(squeezed, format="rgb24")))
        out.mux(stream.encode(None))
    with open_video(tmp_path / "wide.mp4") as container:
        _, frame = next(FrameReader(container).read([0.0]))
    assert (frame.width, frame.height) == (240, 180)
    assert np.abs(frame.rgb().astype(int) - picture).mean() < 8


_T = np.arange(4 * 16000) / 16000
_RNG = np.random.default_rng(0)


def _melody() -> np.ndarray[Any, Any]:
    """Plucked notes of five partials, four a second."""
    sound = np.zeros(len(_T))
    for number in range(16):
        pitch, t = 220 * 2 ** (_RNG.integers(0, 12) / 12), _T[: len(_T) - 4000 * number]
        sound[4000 * number :] += sum(np.sin(2 * np.pi * pitch * m * t) / m for m in range(1, 6)) * np.exp(
            -2 * t
        )
    return 1500 * sound


@pytest.mark.parametrize(
    ("what", "sound"),
    [
        ("silence", np.zeros(len(_T))),
        ("faint noise", _RNG.normal(0, 3, len(_T))),
        ("loud noise", _RNG.normal(0, 4000, len(_T))),
        ("applause", _RNG.normal(0, 4000, len(_T)) * (0.1 + np.abs(np.sin(2 * np.pi * _T)))),
        ("a hum", 3000 * np.sin(2 * np.pi * 100 * _T)),
        ("a chord", sum(2000 * np.sin(2 * np.pi * f * _T) for f in (220, 277, 330))),
        ("a melody", _melody()),
    ],
)
def test_what_nobody_says_does_not_sound_like_speech(what: str, sound: np.ndarray[Any, Any]) -> None:
    assert not sounds_like_speech(sound.astype(np.int16))


@pytest.mark.parametrize("person", [0, 1, 2])
def test_speech_sounds_like_speech_though_it_is_quiet_or_with_some_noise(person: int) -> None:
    speech = clips.speech(8, person)
    for start in range(0, 64001, 16000):
        window = speech[start : start + 64000]
        assert sounds_like_speech(window)
        assert sounds_like_speech((window // 8).astype(np.int16))
        noise = _RNG.normal(0, 30, len(window))
        assert sounds_like_speech((window + noise).astype(np.int16))


def test_real_speech_sounds_like_speech(sample_folder: Path) -> None:
    import soundfile

    paths = sorted(sample_folder.glob("*/*.wav"))[::40]
    heard = [sounds_like_speech(soundfile.read(path, dtype="int16")[0]) for path in paths]
    assert np.mean(heard) > 0.9


def test_a_window_without_a_voice_is_dropped_when_asked_for(tmp_path: Path) -> None:
    speech = clips.speech(8).copy()
    speech[:72000] = _RNG.normal(0, 2000, 72000)
    video = clips.write_clip(tmp_path / "half.mp4", sound=speech)
    for wished, dropped in ((False, 0), (True, 4)):
        settings = replace(_SETTINGS, voice_activity=wished)
        part = make_part(video, (0, float("inf")), tmp_path / str(wished), settings, make_detector(settings))
        assert part.dropped.get("no voice", 0) == dropped


def test_a_window_of_nothing_is_always_dropped(tmp_path: Path) -> None:
    speech = clips.speech(8).copy()
    speech[: 4 * 16000] = 0
    video = clips.write_clip(tmp_path / "half.mkv", sound=speech, sound_codec="pcm_s16le")
    part = make_part(video, (0, float("inf")), tmp_path / "part", _SETTINGS, make_detector(_SETTINGS))
    assert part.dropped["silence"] == 3
    assert part.times_s == (4.0, 5.0, 6.0, 7.0)
