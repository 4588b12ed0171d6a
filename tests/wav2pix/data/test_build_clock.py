"""Picture and sound of a video have one clock, whatever its frames and its tracks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import clips
import numpy as np
import numpy.typing as npt
import pytest

from wav2pix.data.videos.decode import FrameReader, open_video, seek
from wav2pix.data.videos.detect import make_detector
from wav2pix.data.videos.part import Part, PartFolder, make_part
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.data.videos.sound import extract_sound

FRAME_S = float(1 / clips.NTSC)
_SETTINGS = BuildSettings(window_s=4, min_sharpness=0)


def _part(
    video: Path, stretch: tuple[float, float] = (0, float("inf")), settings: BuildSettings = _SETTINGS
) -> tuple[Part, list[float]]:
    """The part of a clock, and for each pair how much later its sound is than its picture."""
    folder = PartFolder(video.parent / "part")
    part = make_part(video, stretch, folder.root, settings, make_detector(settings))
    faces, sound = folder.open_faces(), folder.open_sound()
    windows = [sound[first : first + settings.window_samples] for first in part.first_samples]
    return part, [clips.clock_error_s(*pair) for pair in zip(faces, windows, strict=True)]


@pytest.mark.slow
def test_sound_and_picture_agree_after_ten_minutes_of_29_97_frames_a_second(tmp_path: Path) -> None:
    part, errors = _part(clips.long_clock(tmp_path / "long.mp4"), settings=replace(_SETTINGS, every_s=7))
    instants = np.arange(7, 598, 7)
    assert len(errors) == len(instants)
    assert np.abs(errors).max() < FRAME_S / 4
    late = np.array(part.times_s) - instants
    assert -0.0016 < late.min() <= late.max() < FRAME_S


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_and_picture_agree_where_the_frame_rate_varies(tmp_path: Path, suffix: str) -> None:
    times = clips.uneven_times()
    part, errors = _part(clips.clock(tmp_path / f"uneven{suffix}", times))
    assert len(errors) == 17
    # The face of the clock moves on in steps of a frame, and shows the step that has begun.
    assert 0 <= min(errors) <= max(errors) < FRAME_S + 0.001
    expected = [min(time for time in times if time >= second) for second in range(2, 19)]
    assert np.allclose(part.times_s, expected, atol=0.0011)


def test_sound_and_picture_agree_where_the_sound_starts_late(tmp_path: Path) -> None:
    part, errors = _part(clips.clock(tmp_path / "late.mp4", np.arange(250) / 25, sound_starts_s=1.37))
    assert part.times_s == (4.0, 5.0, 6.0, 7.0, 8.0)
    assert 0 <= min(errors) <= max(errors) < FRAME_S + 0.001
    assert part.dropped == {"too near the start or end": 6}


def test_a_stretch_is_cut_out_with_its_windows_inside(tmp_path: Path) -> None:
    part, errors = _part(clips.clock(tmp_path / "clock.mp4", np.arange(500) / 25), (5.5, 13.0))
    assert part.times_s == (8.0, 9.0, 10.0, 11.0)
    assert max(errors) < FRAME_S + 0.001
    assert part.seconds == 7.5


def test_a_gap_in_the_sound_is_silence_and_what_follows_is_in_its_place(tmp_path: Path) -> None:
    with av.open(tmp_path / "gap.mkv", "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        ones = np.full((1, 1600), 8000, np.int16)
        for number in [*range(10), *range(25, 40)]:  # a second and a half is missing
            frame = av.AudioFrame.from_ndarray(ones, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, number * 1600
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    sound = extract_sound(tmp_path / "gap.mkv", tmp_path / "raw")
    assert len(sound.samples) == 4 * 16000
    assert (sound.samples[:16000] == 8000).all()
    assert (sound.samples[16000:40000] == 0).all()
    assert (sound.samples[40000:] == 8000).all()


def _tone(rate_hz: int) -> npt.NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate_hz) / rate_hz)


@pytest.mark.parametrize(
    ("codec", "form", "layout", "rate_hz", "encode"),
    [
        ("pcm_u8", "u8", "mono", 8000, lambda x: np.rint(x * 127 + 128).astype(np.uint8)),
        ("pcm_s16le", "s16", "stereo", 44100, lambda x: np.rint(x * 32767).astype(np.int16)),
        ("pcm_s32le", "s32", "mono", 48000, lambda x: np.rint(x * 2147483000).astype(np.int32)),
        ("pcm_f32le", "flt", "stereo", 22050, lambda x: x.astype(np.float32)),
    ],
)
def test_sound_of_any_form_becomes_16_khz_mono(
    tmp_path: Path,
    codec: str,
    form: str,
    layout: str,
    rate_hz: int,
    encode: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.generic]],
) -> None:
    path = tmp_path / "tone.mkv"
    with av.open(path, "w") as out:
        stream = out.add_stream(codec, rate=rate_hz, layout=layout, format=form)
        samples = encode(_tone(rate_hz))
        samples = samples if layout == "mono" else np.repeat(samples, 2)
        frame = av.AudioFrame.from_ndarray(samples[None], format=form, layout=layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    sound = extract_sound(path, tmp_path / "raw")
    assert len(sound.samples) == 32000
    inner = slice(200, -200)
    assert np.abs(sound.samples - 32768 * _tone(16000))[inner].max() < 32768 * 0.01


def _count(path: Path) -> Path:
    """Ten seconds of frames that differ from their neighbours in brightness, with B-frames."""
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "medium", "crf": "10"})
        stream.width = stream.height = 64
        stream.pix_fmt, stream.gop_size = "yuv420p", 90
        for number in range(300):
            picture = np.full((64, 64, 3), number % 200 + 20, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("every_s", [0.1, 1.0, 4.0])
def test_frames_are_those_that_decoding_everything_gives(tmp_path: Path, every_s: float) -> None:
    path = _count(tmp_path / "count.mp4")
    with open_video(path) as container:
        every = {frame.pts: frame.to_ndarray(format="gray") for frame in container.decode(video=0)}
    assert len(every) == 300
    instants = [number * every_s for number in range(int(9.9 / every_s) + 1)]
    with open_video(path) as container:
        found = list(FrameReader(container).read(instants))
        tick_s = float(container.streams.video[0].time_base)
    assert [number for number, _ in found] == list(range(len(instants)))
    for number, frame in found:
        assert 0 <= frame.time_s - instants[number] + 1e-6 < 1 / 30
        assert (frame.grey() == every[round(frame.time_s / tick_s)]).all()


def test_reading_may_begin_anywhere(tmp_path: Path) -> None:
    with open_video(_count(tmp_path / "count.mp4")) as container:
        seek(container, 7.3)
        ((_, frame),) = FrameReader(container).read([7.3])
    assert frame.time_s == pytest.approx(7.3, abs=0.001)
    assert abs(int(frame.grey()[9, 9]) - (219 % 200 + 20)) <= 2
