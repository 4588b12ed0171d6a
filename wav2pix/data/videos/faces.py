"""Which face of a frame is used, and its crop."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np

from wav2pix.data.videos.decode import Frame, Picture, resize
from wav2pix.data.videos.detect import BACKGROUND, Detector, Face
from wav2pix.data.videos.settings import BuildSettings

_SHARPNESS_AT = 64


def take_face(frame: Frame, detector: Detector, settings: BuildSettings) -> Picture | str:
    """The crop of the face of a frame, (S, S, 3) RGB, or the reason why there is none.

    A face in the background, less than a third as large as the largest, is no second one.
    """
    found = detector.find(frame)
    sure = [face for face in found if face.confidence >= detector.min_confidence]
    if not sure:
        return "unsure face" if found else "no face"
    largest = max(sure, key=lambda face: face.side)
    if sum(face.side >= BACKGROUND * largest.side for face in sure) > 1 and not settings.largest_face:
        return "several faces"
    crop = cut_out(frame.rgb(), largest, settings.margin)
    if sharpness(crop) < settings.min_sharpness:
        return "blurred"
    return resize(crop, settings.image_size)


def cut_out(picture: Picture, face: Face, margin: float) -> Picture:
    """The square around a face with a margin, moved into the picture, and smaller only if it has to be."""
    height, width = picture.shape[:2]
    side = min(round(face.side * (1 + 2 * margin)), height, width)
    x, y = face.centre
    left = min(max(0, round(x - side / 2)), width - side)
    top = min(max(0, round(y - side / 2)), height - side)
    return picture[top : top + side, left : left + side]


def sharpness(crop: Picture) -> float:
    """Variance of the Laplacian of the grey crop at 64 px (Pech-Pacheco et al., 2000).

    Measured on the published sample of two speakers: at least 340, median 1100; blurred by a Gaussian of
    1.3 % of the side 63 to 290, by 2 % 26 to 114, by 2.7 % 13 to 50.
    """
    grey = resize(cast(Picture, cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)), _SHARPNESS_AT)
    laplacian: Any = cv2.Laplacian(grey, cv2.CV_64F)
    return float(np.var(laplacian))
