"""Synthetic people before a camera: what a video of :mod:`wav2pix.data.synth_videos` shows and lets one hear.

A cascade for frontal faces (Viola and Jones, 2001) compares the brightness of neighbouring areas: the forehead,
the cheeks and the nose must be brighter than the eyes, and the head must stand out from what is behind it. The
faces of :mod:`wav2pix.data.synth` are drawn in flat light, and it finds four in seven. So here the light comes
from above, the camera exposes for the face, the wall is darker or brighter than the skin, and who is not surely
found even so is drawn nearer to an average person.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from wav2pix.data.canvas import Canvas, Plane, column, ellipse
from wav2pix.data.draw import draw_faces
from wav2pix.data.exact import Array, Stream, between, smooth
from wav2pix.data.face import Colour, Face, Views, make_face, make_views
from wav2pix.data.videos.decode import Frame
from wav2pix.data.videos.detect import Detector, make_detector
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.data.voice import FRAMES_PER_S, LEAD_FRAMES, LOW_VOICE_HZ, Score, make_score, make_voice, speak

FPS = 24
WIDTH, HEIGHT = 320, 240
SHOWN = 3  # frames for which each picture is shown, as in animated films
_HEAD_PX = 208  # of the drawn square; the wall around it continues its edges
_AT_ONCE = 2  # pictures drawn together: more no longer fit the processor's cache
_TRIED = 18  # moments of an identity at which it must be found
_SURE = 20.0  # confidence there; a build asks for 10, and encoding takes some away
_PLAIN = {
    "width": 0.59, "height": 0.72, "jaw": 0.36, "eye_distance": 0.25, "eye_size": 0.133, "eye_slant": 0.0,
    "brow_thickness": 0.025, "brow_slant": 0.02, "brow_height": 0.19, "nose_width": 0.08, "nose_length": 0.33,
    "mouth_width": 0.22, "lip_fullness": 0.075, "mouth_curve": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class Film:
    """A recording that is not encoded yet.

    Attributes:
        face: who speaks.
        views: of each picture that is drawn, 8 a second.
        sound: (T,) int16 at 16 kHz.
    """

    face: Face
    views: Views
    sound: npt.NDArray[np.int16]

    def pictures(self) -> Iterator[npt.NDArray[np.uint8]]:
        """(240, 320, 3) RGB, each of which is shown for three frames."""
        return map(_before_a_wall, self.heads(_HEAD_PX))

    def heads(self, size: int) -> Iterator[npt.NDArray[np.uint8]]:
        """(S, S, 3) RGB: only the square around the head, of any size."""
        for first in range(0, len(self.views), _AT_ONCE):
            yield from draw_heads(self.face, _some(self.views, slice(first, first + _AT_ONCE)), size)


def make_films(seed: int, identity: int, recordings: int, seconds: int) -> Iterator[Film]:
    """The recordings of an identity; voice, words and sound are those of :mod:`wav2pix.data.synth`."""
    voice = make_voice(seed, identity)
    face = make_face(seed, identity, low_voice=voice.f0_hz < LOW_VOICE_HZ)
    takes = range(recordings)
    scores = [make_score(voice, seconds, Stream(seed, identity, take, 2)) for take in takes]
    sounds = speak(voice, scores, [Stream(seed, identity, take, 3) for take in takes])
    views = [_views(face, score, seconds, Stream(seed, identity, n, 5)) for n, score in enumerate(scores)]
    face = _that_is_found(face, views)
    for own, sound in zip(views, sounds, strict=True):
        yield Film(face, own, sound.reshape(-1))


def _that_is_found(face: Face, views: list[Views]) -> Face:
    """The first on the way from this face to an average one that is surely found at all tried moments."""
    each = _TRIED // len(views) + 1
    moments = [_some(own, slice(n, n + 1)) for own in views for n in _spread_out(len(own), each)]
    for share in (0.0, 0.3, 0.6):
        candidate = _more_average(face, share)
        pictures = (_before_a_wall(draw_heads(candidate, view, _HEAD_PX)[0]) for view in moments)
        if all(confidence(picture) >= _SURE for picture in pictures):
            return candidate
    return _more_average(face, 1.0)


def _spread_out(length: int, count: int) -> list[int]:
    """Numbers below ``length``, from its first to its last."""
    return sorted({int(place) for place in np.linspace(0, length - 1, count)})


def confidence(pixels: npt.NDArray[np.uint8]) -> float:
    """How sure ``wav2pix data build`` is of the one face in a picture, (H, W, 3) RGB; 0 where it drops it."""
    height, width, _ = pixels.shape
    found = _detector().find(Frame(0.0, width, height, av.VideoFrame.from_ndarray(pixels, format="rgb24"), 0))
    sure = [face.confidence for face in found if face.confidence >= _detector().min_confidence]
    return sure[0] if len(sure) == 1 else 0.0


@functools.cache
def _detector() -> Detector:
    return make_detector(BuildSettings())


def _more_average(face: Face, share: float) -> Face:
    """A face on its way to one with plain features: shapes by that share, adornments beyond a half.

    Frames of glasses are light, since dark ones run over the cheeks, and full beards are short.
    """
    plain: dict[str, Any] = {name: between(getattr(face, name), value, share) for name, value in _PLAIN.items()}
    beard = 1 if face.beard == 3 else face.beard
    return replace(
        face,
        **plain,
        style="short" if share == 1 else face.style,
        glasses=0 if share > 0.5 else face.glasses,
        frame=_mixed(face.frame, face.skin, 0.6),
        beard=0 if share > 0.5 and beard == 1 else beard,
    )


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (between(a, b, share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _views(face: Face, score: Score, seconds: int, stream: Stream) -> Views:
    """What the camera sees: a pose a second, smooth ways between them, a mouth that moves with the sound."""
    per_s = FPS / SHOWN
    times = np.arange(int(seconds * per_s)) / per_s
    poses = make_views(np.zeros(seconds + 2), stream)
    tracks: dict[str, Any] = {
        name: smooth(np.interp(times, np.arange(seconds + 2), track), int(per_s / 2))
        for name, track in _tracks(poses).items()
    }
    tracks["lids"] = _blinks(poses.lids, times)
    tracks["opening"] = score.opening[LEAD_FRAMES + np.rint(times * FRAMES_PER_S).astype(int)]
    tracks["scale"] = tracks["scale"] * 0.78
    red, green, blue = face.skin
    skin = 0.299 * red + 0.587 * green + 0.114 * blue
    exposure = float(np.clip(0.6 / skin, 0.9, 1.35))
    top, bottom = (_wall(colour, 0.28 if skin > 0.5 else 0.72) for colour in poses.background)
    return replace(poses, **tracks, brightness=exposure, background=(top, bottom), blob=(9.0, 9.0, 1.0))


def _wall(colour: Colour, brightness: float) -> Colour:
    """A paler colour of about that brightness."""
    red, green, blue = (brightness + (part - 0.5) * 0.5 for part in colour)
    return red, green, blue


def _blinks(lids: Array, times: Array) -> Array:
    """Eyes that are open but for a quarter of a second in the middle of some seconds."""
    second = times.astype(int)
    shut = (np.abs(times - second - 0.5) < 0.13) & (lids[second] < 1)
    return np.where(shut, lids[second], 1.0)


def _tracks(views: Views) -> dict[str, Array]:
    """What changes from moment to moment."""
    values = {field.name: getattr(views, field.name) for field in fields(Views)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _some(views: Views, rows: slice) -> Views:
    chosen: dict[str, Any] = {name: track[rows] for name, track in _tracks(views).items()}
    return replace(views, **chosen)


def draw_heads(face: Face, views: Views, size: int) -> npt.NDArray[np.uint8]:
    """(B, S, S, 3) RGB: the pictures of :func:`draw_faces` in light from above."""
    light = _light_from_above(Canvas(views, size), face, views)[..., None]
    lit: npt.NDArray[np.uint8] = np.rint(np.clip(draw_faces(face, views, size) * light, 0, 255)).astype(
        np.uint8
    )
    return lit


def _light_from_above(canvas: Canvas, face: Face, views: Views) -> Plane:
    """(B, S, S) factors: the eyes lie in shade, forehead, cheeks and the bridge of the nose are lit."""
    u, v = canvas.u - column(views.yaw) * 0.1, canvas.v - column(views.pitch) * 0.06
    light: Plane = 1 + 0.3 * canvas.cover(ellipse(u, v, 0.06, 0.22), 3.0)
    light = light * (1 + 0.45 * canvas.cover(ellipse(u, v + 0.38, 0.3, 0.12), 8.0))
    for side in (-1, 1):
        eye = ellipse(u * side - face.eye_distance, v + 0.11, face.eye_size * 1.4, face.eye_size)
        cheek = ellipse(u * side - face.width * 0.5, v - 0.2, 0.18, 0.15)
        light = light * (1 - 0.45 * canvas.cover(eye, 6.0)) * (1 + 0.3 * canvas.cover(cheek, 8.0))
    return light


def _before_a_wall(head: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The drawn square at the lower edge of a picture whose wall goes on to the sides and above."""
    left = (WIDTH - _HEAD_PX) // 2
    return np.pad(head, ((HEIGHT - _HEAD_PX, 0), (left, WIDTH - _HEAD_PX - left), (0, 0)), mode="edge")
