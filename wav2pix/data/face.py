"""Synthetic faces: what makes a person (:class:`Face`) and how the camera sees them (:class:`Views`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wav2pix.data.exact import Array, Stream, between, sine, spread

Colour = tuple[float, float, float]

_SKINS: tuple[Colour, ...] = (
    (0.98, 0.86, 0.78), (0.95, 0.78, 0.66), (0.88, 0.68, 0.53), (0.76, 0.55, 0.39), (0.58, 0.39, 0.26),
    (0.40, 0.26, 0.18),
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = (
    (0.08, 0.07, 0.08), (0.28, 0.17, 0.10), (0.86, 0.70, 0.40), (0.58, 0.24, 0.10), (0.66, 0.65, 0.66),
    (0.45, 0.30, 0.17), (0.16, 0.10, 0.07), (0.72, 0.50, 0.26),
)  # fmt: skip
_IRISES: tuple[Colour, ...] = (
    (0.25, 0.14, 0.07), (0.22, 0.45, 0.70), (0.28, 0.50, 0.28), (0.42, 0.46, 0.50), (0.45, 0.28, 0.12),
)  # fmt: skip
_FRAMES: tuple[Colour, ...] = ((0.07, 0.07, 0.08), (0.45, 0.10, 0.10), (0.15, 0.22, 0.42), (0.40, 0.27, 0.12))
STYLES = ("short", "long", "bald", "curly", "fringe", "quiff", "bob", "receding", "bun", "buzz")


@dataclass(frozen=True)
class Face:
    """A person. Lengths are in units in which the picture spans -1 to 1 both ways.

    Attributes:
        skin, hair, iris, lips: RGB in [0, 1].
        style: of the hair, one of ``STYLES``.
        width, height: half axes of the head.
        jaw: how much the head narrows towards the chin, 0 to 0.5.
        eye_distance: from the middle to a pupil.
        eye_size: half width of an eye.
        eye_slant: rise of the outer corner.
        brow_thickness, brow_slant, brow_height: of the eyebrows.
        nose_width, nose_length: of the nose.
        mouth_width, lip_fullness, mouth_curve: of the mouth.
        beard: 0 none, 1 stubble, 2 moustache, 3 full.
        glasses: 0 none, 1 round, 2 rectangular; ``frame`` is their colour.
        parting: where the hair is parted, from the middle.
    """

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    style: str
    width: float
    height: float
    jaw: float
    eye_distance: float
    eye_size: float
    eye_slant: float
    brow_thickness: float
    brow_slant: float
    brow_height: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_fullness: float
    mouth_curve: float
    beard: int
    glasses: int
    frame: Colour
    parting: float


@dataclass(frozen=True)
class Views:
    """B moments of one recording: all arrays (B,), unless said otherwise.

    Attributes:
        shift_x, shift_y, scale, roll: place of the head; roll in turns.
        yaw, pitch: turn of the head, as a shift of its features.
        opening: of the mouth, 0 to 1.
        lids: of the eyes, 0 shut to 1 open.
        gaze_x, gaze_y: of the pupils, -1 to 1.
        smile: added to the curve of the mouth.
        light: direction of the light, (x, y) of a unit vector's part in the picture.
        warmth: tint of the light, RGB factors.
        brightness: of the light.
        background, clothes: two colours of the background, and one of the clothes.
        blob: centre and radius of a bright spot in the background.
    """

    shift_x: Array
    shift_y: Array
    scale: Array
    roll: Array
    yaw: Array
    pitch: Array
    opening: Array
    lids: Array
    gaze_x: Array
    gaze_y: Array
    smile: Array
    light: tuple[float, float]
    warmth: Colour
    brightness: float
    background: tuple[Colour, Colour]
    clothes: Colour
    blob: tuple[float, float, float]

    def __len__(self) -> int:
        return len(self.shift_x)


def make_face(seed: int, identity: int, *, low_voice: bool) -> Face:
    """The face of an identity; those of one seed differ in hair, colours and proportions.

    Args:
        seed: of the data set.
        identity: number of the person.
        low_voice: only then may the face have a beard.
    """
    own, shared = Stream(seed, identity, 11), Stream(seed, 11)
    offsets = shared.uniform(0, 1, 4).tolist()
    tone, width, height, jaw = (
        spread(identity, *start)
        for start in zip(offsets, (0.7548776662, 0.6180339887, 0.3027756377, 0.4142135624), strict=True)
    )
    skin = _blend(_SKINS, tone)
    lips = tuple(between(part, red, 0.45) for part, red in zip(skin, (0.72, 0.20, 0.24), strict=True))
    beard = (0, 1, 2, 3, 3, 0)[own.index(6)] if low_voice else 0
    return Face(
        skin=skin,
        hair=_HAIRS[_turn(seed, identity, 12, len(_HAIRS))],
        iris=_IRISES[_turn(seed, identity, 13, len(_IRISES))],
        lips=(lips[0], lips[1], lips[2]),
        style=STYLES[_turn(seed, identity, 14, len(STYLES))],
        width=between(0.50, 0.61, width),
        height=between(0.66, 0.76, height),
        jaw=between(0.05, 0.38, jaw),
        eye_distance=own.number(0.21, 0.27),
        eye_size=own.number(0.105, 0.14),
        eye_slant=own.number(-0.03, 0.045),
        brow_thickness=own.number(0.018, 0.055),
        brow_slant=own.number(-0.03, 0.06),
        brow_height=own.number(0.15, 0.21),
        nose_width=own.number(0.07, 0.14),
        nose_length=own.number(0.24, 0.36),
        mouth_width=own.number(0.17, 0.27),
        lip_fullness=own.number(0.035, 0.085),
        mouth_curve=own.number(-0.02, 0.06),
        beard=beard,
        glasses=(0, 0, 1, 0, 2)[_turn(seed, identity, 15, 5)],
        frame=_FRAMES[own.index(len(_FRAMES))],
        parting=own.number(-0.25, 0.25),
    )


def make_views(opening: Array, stream: Stream) -> Views:
    """A recording of somebody who speaks: the place and the light stay, the head moves a little.

    Args:
        opening: (B,) of the mouth at each moment, from what is said.
        stream: random numbers for this recording.
    """
    count = len(opening)

    def wander(centre: float, around: float, within: float) -> Array:
        """A value of this recording, and slow movement about it with a little haste."""
        moments = sine(np.arange(count) * stream.number(0.11, 0.19) + stream.number(0, 1))
        place = centre + stream.number(-around, around)
        return place + (moments + stream.uniform(-0.7, 0.7, count)) * within

    first, second, clothes = (_muted(stream, *amount) for amount in ((0.2, 0.12), (0.2, 0.12), (0.3, 0.25)))
    warm = stream.number(-0.07, 0.07)
    return Views(
        shift_x=wander(0.0, 0.05, 0.035),
        shift_y=wander(0.0, 0.04, 0.025),
        scale=wander(1.1, 0.05, 0.02),
        roll=wander(0.0, 0.012, 0.011),
        yaw=wander(0.0, 0.45, 0.3),
        pitch=wander(0.0, 0.25, 0.2),
        opening=opening,
        lids=np.where(stream.uniform(0, 1, count) < 0.08, stream.number(0.05, 0.4), 1.0),
        gaze_x=wander(0.0, 0.2, 0.35),
        gaze_y=wander(0.0, 0.1, 0.2),
        smile=wander(0.015, 0.015, 0.015),
        light=(stream.number(-0.75, 0.75), stream.number(-0.7, 0.15)),
        warmth=(1 + warm, 1.0, 1 - warm),
        brightness=stream.number(0.86, 1.08),
        background=(first, second),
        clothes=clothes,
        blob=(stream.number(-0.9, 0.9), stream.number(-0.9, 0.2), stream.number(0.25, 0.6)),
    )


def _muted(stream: Stream, lightness: float, colour: float) -> Colour:
    """A colour about the middle grey: rooms and clothes that do not outshine a face."""
    grey = 0.5 + stream.number(-lightness, lightness)
    red, green, blue = (grey + stream.number(-colour, colour) for _ in range(3))
    return red, green, blue


def _blend(colours: tuple[Colour, ...], share: float) -> Colour:
    place = share * (len(colours) - 1)
    lower = min(int(place), len(colours) - 2)
    mixed = [between(a, b, place - lower) for a, b in zip(colours[lower], colours[lower + 1], strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _turn(seed: int, identity: int, trait: int, count: int) -> int:
    """Each of ``count`` values once before any comes again, in another order each time."""
    return Stream(seed, identity // count, trait).permutation(count)[identity % count]
