"""Small videos for tests of the builder: good ones, bad ones, and clocks.

A clock carries the time in its picture and in its sound. Each second of the clock (``PERIOD_S``) begins with a
click, and the tint of the whole picture says in ``LEVELS`` steps how much of it has passed; the tint is in the
blue chroma alone, which a cascade for faces does not look at.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from wav2pix.data.draw import draw_faces
from wav2pix.data.exact import Stream
from wav2pix.data.face import make_face, make_views
from wav2pix.data.voice import make_score, make_voice, speak

FPS = 10
RATE_HZ = 16000
NTSC = Fraction(30000, 1001)
PERIOD_S = 30 / NTSC  # a second as 29.97 frames a second have it
LEVELS = 30
TICKS = 90000  # a second of the videos' time base

Picture = npt.NDArray[np.uint8]
Sound = npt.NDArray[np.int16]
Painter = Callable[[float], Picture]  # (H, W, 3) RGB at a time in seconds
_PEOPLE = (14, 5, 10)  # synthetic people of seed 0 whose faces the Haar cascade finds as they are
_ENCODER = {"preset": "ultrafast", "crf": "18", "x264-params": "bframes=0:scenecut=0"}
_UPRIGHT, _QUARTER = (
    b"".join(number.to_bytes(4, "big") for number in row)
    for row in ((0x10000, 0, 0, 0, 0x10000), (0, 0x10000, 0, 0xFFFF0000, 0))
)


@functools.cache
def face(person: int = 0, size: int = 150) -> Picture:
    """(S, S, 3) RGB: a face that the Haar cascade finds, of one of three people."""
    number = _PEOPLE[person]
    who = make_face(0, number, low_voice=make_voice(0, number).f0_hz < 145)
    return draw_faces(who, make_views(np.array([0.3]), Stream(0, number, 0, 4)), size)[0]


@functools.cache
def speech(seconds: int = 8, person: int = 0) -> Sound:
    """(seconds * 16000,) of somebody who speaks."""
    voice = make_voice(0, _PEOPLE[person])
    score = make_score(voice, seconds, Stream(0, _PEOPLE[person], 0, 2))
    return speak(voice, [score], [Stream(0, _PEOPLE[person], 0, 3)])[0].reshape(-1)


def scene(faces: Sequence[Picture], width: int = 240, height: int = 180) -> Picture:
    """(H, W, 3) RGB: faces side by side on a grey wall."""
    wall = np.full((height, width, 3), 128, np.uint8)
    share = width // max(len(faces), 1)
    for place, one in enumerate(faces):
        size = len(one)
        top, left = (height - size) // 2, place * share + (share - size) // 2
        wall[top : top + size, left : left + size] = one
    return wall


def write_clip(
    path: Path,
    *,
    seconds: int = 8,
    paint: Painter | None = lambda _: scene([face()]),
    sound: Sound | str | None = "speech",
    times: Sequence[float] | None = None,
    sound_starts_s: float = 0.0,
    pixels: str = "yuv420p",
    sound_codec: str = "aac",
    gop: int = 250,
    rate_hz: int = RATE_HZ,
) -> Path:
    """Write a video; its container is that of the suffix.

    Args:
        seconds: length, where ``times`` and ``sound`` do not say otherwise.
        paint: the picture at a time; None for a file without a picture.
        sound: (T,) int16 mono at ``rate_hz``, None for none, or "speech" of that length.
        times: of the frames in seconds; ten a second otherwise.
        sound_starts_s: when the first sample of the sound is heard.
    """
    if isinstance(sound, str):
        sound = speech(seconds)
    if times is None:
        times = [number / FPS for number in range(seconds * FPS)]
    with av.open(path, "w") as out:
        packets = []
        picture = _video_stream(out, paint(0.0), pixels, gop) if paint else None
        heard = _sound_stream(out, sound_codec, rate_hz) if sound is not None else None
        if picture and paint:
            packets += [p for time in times for p in picture.encode(_frame(paint(time), time))]
            packets += picture.encode(None)
        if heard and sound is not None:
            packets += _sound_packets(heard, sound, rate_hz, sound_starts_s)
        out.mux(sorted(packets, key=_when))
    return path


def without_sound(path: Path) -> Path:
    """A video with a picture only."""
    return write_clip(path, sound=None)


def without_picture(path: Path) -> Path:
    """A video with sound only."""
    return write_clip(path, paint=None)


def without_face(path: Path) -> Path:
    """A video of a wall with a pattern."""
    wall = np.tile(np.indices((180, 240)).sum(0)[..., None] % 256, 3).astype(np.uint8)
    return write_clip(path, paint=lambda _: wall)


def with_two_faces(path: Path) -> Path:
    """A video with two people side by side, the left one larger."""
    both = scene([face(0, 150), face(1, 130)], width=360)
    return write_clip(path, paint=lambda _: both)


def corrupt_in_the_middle(path: Path, seconds: int = 24) -> Path:
    """A video whose third quarter of bytes is noise, with a key frame every second."""
    write_clip(path, seconds=seconds, paint=noisy_scene(), gop=FPS)
    content = bytearray(path.read_bytes())
    first, last = len(content) // 2, len(content) * 3 // 4
    content[first:last] = np.random.default_rng(0).bytes(last - first)
    path.write_bytes(content)
    return path


def noisy_scene() -> Painter:
    """A face before a wall that changes with every frame, so that no frame is nearly empty."""
    rng = np.random.default_rng(1)

    def paint(_: float) -> Picture:
        wall = rng.integers(112, 144, (180, 240, 3)).astype(np.uint8)
        wall[15:165, 45:195] = face()
        return wall

    return paint


def cut_off(path: Path) -> Path:
    """The first half of an MP4 file, whose table of contents would be at its end."""
    write_clip(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def rotated(path: Path) -> Path:
    """An MP4 file whose frames lie on their side, and whose display matrix says so: a phone held upright.

    The frames are turned a quarter to the left; the matrix asks to turn them a quarter to the right.
    """
    lying = np.ascontiguousarray(np.rot90(scene([face()])))
    write_clip(path, paint=lambda _: lying)
    content = path.read_bytes()
    track = content.index(b"tkhd")  # the video is the first track
    place = content.index(_UPRIGHT[:16], track)
    # ISO/IEC 14496-12, matrix: a b u, c d v, x y w, of which u, v and w stay as they are.
    path.write_bytes(content[:place] + _QUARTER + content[place + len(_QUARTER) :])
    return path


def with_odd_dimensions(path: Path) -> Path:
    """A video of 241 x 181 pixels, which needs unsampled chroma."""
    return write_clip(path, paint=lambda _: scene([face()], 241, 181), pixels="yuv444p")


def with_8_bit_sound(path: Path) -> Path:
    """A video with mono sound of 8 bits a sample at 8 kHz; the suffix must be .mkv, .mov or .avi."""
    return write_clip(path, sound=speech()[::2].copy(), sound_codec="pcm_u8", rate_hz=RATE_HZ // 2)


def clock(path: Path, times: Iterable[float], *, sound_starts_s: float = 0.0) -> Path:
    """A clock with frames at any times; sound that starts late lacks its beginning, the clock stays right."""
    moments = list(times)
    start = round(sound_starts_s * RATE_HZ)
    sound = ticking(moments[-1] + 0.5)[start:]
    return write_clip(path, paint=clock_face, sound=sound, times=moments, sound_starts_s=start / RATE_HZ)


def uneven_times(seconds: int = 20) -> list[float]:
    """Times of frames as a phone takes them: 4 to 30 a second, in whole milliseconds."""
    steps = np.random.default_rng(2).integers(33, 250, seconds * 30)
    times = np.cumsum(steps) / 1000
    return [0.0, *times[times < seconds].tolist()]


def long_clock(path: Path, minutes: int = 10) -> Path:
    """A clock of 29.97 frames a second: 300 frames from a key frame on, and their packets again and again."""
    frames = [_frame(clock_face(float(n / NTSC)), float(n / NTSC)) for n in range(300)]
    with av.open(path, "w") as out:
        picture = _video_stream(out, clock_face(0.0), "yuv420p", 300)
        heard = _sound_stream(out, "aac", RATE_HZ)
        encoded = [packet for frame in [*frames, None] for packet in picture.encode(frame)]
        shared = [(bytes(p), Fraction(p.pts) * p.time_base, p.is_keyframe) for p in encoded]
        length = 300 / NTSC
        num_turns = math.ceil(minutes * 60 / length)
        packets = _sound_packets(heard, ticking(float(num_turns * length)), RATE_HZ, 0.0)
        for turn in range(num_turns):
            for content, time, key in shared:
                packet = av.Packet(content)
                packet.pts = packet.dts = round((time + turn * length) * TICKS)
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, TICKS), picture, key
                packets.append(packet)
        out.mux(sorted(packets, key=_when))
    return path


def clock_face(time: float) -> Picture:
    """A grey face whose tint says how much of the period has passed."""
    return _clock_face(int(time / float(PERIOD_S) % 1 * LEVELS + 1e-6))


@functools.cache
def _clock_face(level: int) -> Picture:
    grey = scene([face()]).mean(axis=2, keepdims=True) * 0.5 + 64
    blue = (level - (LEVELS - 1) / 2) * 3.4  # Cb, of which ITU-R BT.601 makes these shares of green and blue
    tinted = grey + np.array([0.0, -0.344, 1.772]) * blue
    return np.rint(np.clip(tinted, 0, 255)).astype(np.uint8)


def ticking(seconds: float) -> Sound:
    """(T,) int16: a click at each whole number of periods, over a faint hiss."""
    sound = np.random.default_rng(3).normal(0, 40, round(seconds * RATE_HZ))
    for number in range(int(seconds / PERIOD_S) + 1):
        place = round(number * PERIOD_S * RATE_HZ)
        sound[place : place + 4] += np.array([9000, 24000, 24000, 9000])[: len(sound[place : place + 4])]
    return sound.astype(np.int16)


def read_clock(picture: Picture) -> float:
    """What a picture of the clock, or a part of it, says: seconds since the last click, to the level's step."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    tint = np.median(-0.1687 * red - 0.3313 * green + 0.5 * blue)
    level = np.rint(tint / 3.4 + (LEVELS - 1) / 2)
    return float(level * PERIOD_S / LEVELS)


def last_click(window: Sound) -> float:
    """Seconds from the last click before the middle of a window of sound to that middle."""
    loud = np.abs(window.astype(np.float64))
    middle = len(window) // 2
    before = loud[: middle + 1]
    places = np.flatnonzero(before > 0.5 * loud.max())
    assert len(places), "no click before the middle of the window"
    return (len(window) / 2 - int(places[-1]) + 2) / RATE_HZ


def clock_error_s(picture: Picture, window: Sound) -> float:
    """How much later the window's middle is than its picture; the shorter way round the clock."""
    period = float(PERIOD_S)
    return (last_click(window) - read_clock(picture) + period / 2) % period - period / 2


def _video_stream(out: Any, first: Picture, pixels: str, gop: int) -> Any:
    stream = out.add_stream("libx264", rate=30, options=_ENCODER)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt, stream.gop_size = pixels, gop
    stream.codec_context.time_base = Fraction(1, TICKS)
    stream.codec_context.thread_count = 1
    return stream


def _sound_stream(out: Any, codec: str, rate_hz: int) -> Any:
    options = {"aac_coder": "fast"} if codec == "aac" else {}
    return out.add_stream(codec, rate=rate_hz, layout="mono", options=options)


def _frame(picture: Picture, time: float) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
    return frame


def _sound_packets(stream: Any, sound: Sound, rate_hz: int, starts_s: float) -> list[av.Packet]:
    start, packets = round(starts_s * rate_hz), []
    for first in range(0, len(sound), 1024):
        frame = av.AudioFrame.from_ndarray(sound[None, first : first + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, start + first, Fraction(1, rate_hz)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _when(packet: av.Packet) -> float:
    return float((packet.dts or 0) * packet.time_base)
