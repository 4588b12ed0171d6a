"""Arithmetic that gives the same bits on every machine.

Sines, exponentials and random numbers of a maths library differ in the last bit between processors and
versions, and a sum may be taken in another order. What is here uses only additions, multiplications, divisions,
square roots and roundings of arrays, each of which IEEE 754 defines to the bit, one NumPy call each so that no
compiler can fuse two; and the raw output of PCG64, whose stream NumPy promises to keep.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Real = TypeVar("Real", npt.NDArray[np.float32], npt.NDArray[np.float64])

_TAU = 6.283185307179586


class Stream:
    """Random numbers named by a key of whole numbers: another key, another independent stream."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float, high: float, size: int | tuple[int, ...]) -> Array:
        """Evenly distributed in [low, high)."""
        raw = np.asarray(self._bits.random_raw(int(np.prod(size))))
        return low + (high - low) * ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(size)

    def number(self, low: float, high: float) -> float:
        """One evenly distributed number in [low, high)."""
        return float(self.uniform(low, high, 1)[0])

    def index(self, count: int) -> int:
        """One of 0 ... count - 1."""
        return int(self.number(0, count))

    def permutation(self, count: int) -> list[int]:
        """0 ... count - 1 in random order."""
        return [int(place) for place in np.argsort(self.uniform(0, 1, count), kind="stable")]


def spread(index: int, offset: float, step: float = 0.6180339887498949) -> float:
    """Number ``index`` of a sequence in [0, 1) whose every prefix is spread out: irrational steps."""
    value = offset
    for _ in range(index):
        value += step
        value -= int(value)
    return value


def between(low: float, high: float, share: float) -> float:
    """The value at a share of the way from ``low`` to ``high``."""
    return low + (high - low) * share


def sine(turns: Real) -> Real:
    """sin(2 pi turns), to about 1e-6."""
    t = turns - np.rint(turns)
    t = np.where(t > 0.25, 0.5 - t, np.where(t < -0.25, -0.5 - t, t))
    z = t * _TAU
    zz = z * z
    total = zz * (-1 / 39916800)
    for factor in (1 / 362880, -1 / 5040, 1 / 120, -1 / 6):
        total = (total + factor) * zz
    return (total + 1) * z


def cosine(turns: Real) -> Real:
    """cos(2 pi turns), to about 1e-6."""
    return sine(turns + 0.25)


def exponential(x: Array) -> Array:
    """exp(x) for moderate x, to about 1e-5."""
    y = x * (1 / 1024)
    y = y * y * 0.5 + y + 1
    for _ in range(10):
        y = y * y
    return y


def smooth(track: Array, width: int) -> Array:
    """The mean of ``width`` neighbours along the first axis, twice; the ends repeat their last value."""
    for _ in range(2):
        left = width // 2
        ends = ((left, width - 1 - left),) + ((0, 0),) * (track.ndim - 1)
        padded = np.pad(track, ends, mode="edge")
        total = padded[: len(track)].copy()
        for shift in range(1, width):
            total += padded[shift : shift + len(track)]
        track = total * (1 / width)
    return track
