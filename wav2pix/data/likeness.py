"""Faces that are nearly the same picture: copies, re-encodings, a little brighter, resized.

A face becomes a thumbnail of 16 x 16 grey values, centred and scaled to a deviation of 32; two faces are near
when the root mean square of the difference is at most ``NEAR``. Measured on the published sample of two
speakers (996 faces, 64 px): a copy in JPEG is at most 0.7 (quality 75), 1.2 (40) or 2.1 (20) from its
original, resized to 48 px and back 1.1, brighter by 12 of 255 0.6. Distinct moments: neighbouring seconds of a
recording at least 6.0 (median 21), different recordings of a speaker at least 4.4, different speakers at least
19. Synthetic speakers: different recordings of a speaker at least 9.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NEAR = 3.0
_SIDE = 16
_DEVIATION = 32
_BLOCK = 2048

Thumbnails = npt.NDArray[np.float32]


def thumbnails(faces: npt.NDArray[np.uint8]) -> Thumbnails:
    """(F, S, S, 3) uint8 -> (F, 256) whole numbers of -127 to 127, as float32."""
    parts = [_thumbnails(faces[start : start + 64]) for start in range(0, len(faces), 64)]
    return np.concatenate(parts) if parts else np.zeros((0, _SIDE * _SIDE), np.float32)


def _thumbnails(faces: npt.NDArray[np.uint8]) -> Thumbnails:
    count, size = faces.shape[:2]
    step = size // _SIDE
    grey = faces.astype(np.int64) @ np.array([77, 150, 29])
    cells = grey[:, : step * _SIDE, : step * _SIDE].reshape(count, _SIDE, step, _SIDE, step).sum(axis=(2, 4))
    cells = cells.reshape(count, -1) // (step * step)
    centred = cells * cells.shape[1] - cells.sum(axis=1, keepdims=True)
    # A picture of one colour has no deviation: all of them are alike, so zeros will do.
    deviation = np.sqrt((centred * centred).sum(axis=1, keepdims=True) / centred.shape[1]) + 1
    small: Thumbnails = np.clip(np.rint(centred * (_DEVIATION / deviation)), -127, 127).astype(np.float32)
    return small


def near_faces(
    thumbs: Thumbnails, labels: npt.NDArray[np.int64], *, limit: float = NEAR
) -> list[tuple[int, int, float]]:
    """Pairs (i, j, distance) of near faces i < j with different labels, ordered.

    The products are exact in float32, being sums of whole numbers below 2**24, so that the result does not
    depend on the order in which a BLAS adds.
    """
    squares = (thumbs * thumbs).sum(axis=1)
    bound = limit * limit * thumbs.shape[1]
    found: list[tuple[int, int, float]] = []
    for top in range(0, len(thumbs), _BLOCK):
        rows = slice(top, top + _BLOCK)
        for left in range(top, len(thumbs), _BLOCK):
            columns = slice(left, left + _BLOCK)
            apart = squares[rows, None] + squares[columns] - 2 * (thumbs[rows] @ thumbs[columns].T)
            near = (apart <= bound) & (labels[rows, None] != labels[columns])
            for i, j in np.argwhere(near).tolist():
                if top + i < left + j:
                    found.append((top + i, left + j, float(np.sqrt(apart[i, j] / thumbs.shape[1]))))
    return sorted(found)
