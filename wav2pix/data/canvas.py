"""Pictures that are painted with smooth shapes.

A shape is a signed distance in units of the picture, negative inside; its edge is spread over one pixel. All in
float32 and elementary operations, so that the pixels are the same everywhere (see :mod:`wav2pix.data.exact`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wav2pix.data.exact import Array, cosine, sine
from wav2pix.data.face import Colour, Views

Plane = npt.NDArray[Any]  # (B, S, S) float32, or something that broadcasts to it


class Canvas:
    """B pictures that are painted over and over, and the coordinates of their pixels.

    Attributes:
        image: (B, S, S, 3) float32 RGB in [0, 1].
        u, v: (B, S, S) right and down, moving with the head.
        pixel: (B, 1, 1) size of a pixel in the same units.
    """

    def __init__(self, views: Views, size: int) -> None:
        steps = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
        self.x, self.y = steps[None, None, :], steps[None, :, None]
        right = self.x - column(views.shift_x)
        down = self.y - 0.1 - column(views.shift_y)
        turn_x, turn_y = column(cosine(views.roll)), column(sine(views.roll))
        scale = column(views.scale)
        self.u = (right * turn_x + down * turn_y) / scale
        self.v = (down * turn_x - right * turn_y) / scale
        self.pixel = np.float32(2 / size) / scale
        self.image = np.empty((len(views), size, size, 3), np.float32)

    def cover(self, distance: Plane, softness: float = 1.0) -> Plane:
        """How much of each pixel is inside a shape.

        Args:
            distance: from the edge, negative inside.
            softness: 1 for a sharp edge, more for a blurred one: its width in pixels of a 64 px picture.
        """
        width = self.pixel if softness == 1.0 else self.pixel * 0 + np.float32(softness / 32)
        return np.clip(0.5 - distance / width, 0, 1)

    def paint(self, cover: Plane, colour: Plane | Colour, strength: float = 1.0) -> None:
        """Lay a colour over the pictures where ``cover`` is."""
        paint = np.asarray(colour, np.float32)
        self.image += (cover * np.float32(strength))[..., None] * (paint - self.image)


def column(values: Array) -> Plane:
    """(B,) as (B, 1, 1) float32."""
    return values.astype(np.float32)[:, None, None]


def ellipse(u: Plane, v: Plane, a: float | Plane, b: float | Plane) -> Plane:
    """Distance from an ellipse about the origin, to first order."""
    p, q = u / a, v / b
    k = np.sqrt(p * p + q * q) + np.float32(1e-6)
    p, q = p / a, q / b
    distance: Plane = k * (k - 1) / (np.sqrt(p * p + q * q) + np.float32(1e-6))
    return distance


def box(u: Plane, v: Plane, a: float, b: float, corner: float) -> Plane:
    """Distance from a rectangle with round corners about the origin."""
    p, q = np.abs(u) - (a - corner), np.abs(v) - (b - corner)
    p0, q0 = np.maximum(p, 0), np.maximum(q, 0)
    distance: Plane = np.sqrt(p0 * p0 + q0 * q0) + np.minimum(np.maximum(p, q), 0) - np.float32(corner)
    return distance


def arc(u: Plane, v: Plane, half: float | Plane, curve: float | Plane, thickness: float | Plane) -> Plane:
    """Distance from a thick line v = curve * (u / half)**2 between -half and half, thinner at its ends."""
    share = np.clip(u / half, -1, 1)
    over = np.maximum(np.abs(u) - half, 0)
    line = v - curve * share * share
    distance: Plane = np.sqrt(line * line + over * over) - thickness * (1 - 0.45 * share * share)
    return distance
