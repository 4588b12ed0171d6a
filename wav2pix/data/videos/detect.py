"""Finding faces in a picture: OpenCV's frontal Haar cascade, or YuNet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from wav2pix.data.videos.decode import Frame, Picture
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.errors import DataError

_CASCADES = Path(cv2.__file__).parent / "data"
_WINDOW = 20  # side of the smallest face that the cascade of the coarse scan knows
_NEIGHBOURS = 5
_FINE = 1.1
_COARSE = 1.26  # three sizes an octave
_LARGER = 1.12  # of the first windows of a scan, which still find the smallest face, against its size
_ROOM = 0.35  # around a place that is looked at again, as a share of its side
_JUDGED_AT = 60  # side to which a candidate is brought before it is judged
_YUNET_SMALLEST = 30  # side from which YuNet is sure of a face, in pixels of the picture that it gets
_YUNET_COARSER = 3  # of a second look; faces over some 500 px are too large for the first
_HAAR_CONFIDENCE = 10.0
_YUNET_CONFIDENCE = 0.8
BACKGROUND = 1 / 3  # of the side of the largest face: a smaller one beside it is nobody who talks


@dataclass(frozen=True)
class Face:
    """A square around a face, in pixels of the frame; ``confidence`` as its detector counts it."""

    left: float
    top: float
    side: float
    confidence: float

    @property
    def centre(self) -> tuple[float, float]:
        """x, y."""
        return self.left + self.side / 2, self.top + self.side / 2

    def holds_centre_of(self, other: Face) -> bool:
        """Whether two faces are one found twice."""
        x, y = other.centre
        return self.left < x < self.left + self.side and self.top < y < self.top + self.side


class Detector(Protocol):
    """Finds faces.

    Attributes:
        min_confidence: what a face needs to count.
    """

    min_confidence: float

    def find(self, frame: Frame) -> list[Face]:
        """Faces of at least the smallest size, the most confident first.

        Those that are in the background beside one that counts may be missing.
        """
        ...


def make_detector(settings: BuildSettings) -> Detector:
    """The detector of the settings.

    Raises:
        DataError: the ONNX file is no YuNet.
    """
    cv2.setNumThreads(1)
    if settings.yunet is None:
        return HaarDetector(settings.min_face_px, settings.min_confidence)
    return YunetDetector(settings.yunet, settings.min_face_px, settings.min_confidence)


class HaarDetector:
    """The frontal cascade, scale 1.1 and at least 5 neighbours (Viola and Jones, 2001; the paper's settings).

    A scan of a whole picture in these steps takes longer than decoding a second of video. So a scan in coarser
    steps, an octave of sizes at a time, finds places, with a quicker one of OpenCV's cascades
    (Lienhart and Maydt, 2002); and there the default one looks in the fine steps, with the face brought to
    60 px. The confidence is the number of windows that it then takes for a face, which says how sure it is and
    means the same for small and large faces. That two cascades must agree costs few faces and spares most of
    the second faces that one alone sees in a busy background (``benchmarks/detect.py``: 99 % of the faces are
    found, nearly all with a confidence of 16 and more, the median is 56; 0.05 others a picture against 1.05).
    """

    def __init__(self, min_face_px: int, min_confidence: float | None = None) -> None:
        self.min_confidence = _HAAR_CONFIDENCE if min_confidence is None else min_confidence
        self._places = _open_cascade("alt2")
        self._cascade = _open_cascade("default")
        self._min_face_px = min_face_px

    def find(self, frame: Frame) -> list[Face]:
        """Faces of at least the smallest size, the most confident first."""
        grey = frame.grey()
        found = self._scan(grey, self._min_face_px, _COARSE)
        if not found:  # among larger faces a closer look costs little
            found = self._scan(grey, 2 * self._min_face_px, _FINE)
        return _without_twins([face for face in found if face.side >= self._min_face_px])

    def _scan(self, grey: Picture, smallest: float, step: float) -> list[Face]:
        """Faces from ``smallest`` on: octave by octave from the largest, down to those of the background."""
        found: list[Face] = []
        for low, smaller in reversed(list(_octaves(grey, _LARGER * smallest))):
            sure = [face.side for face in found if face.confidence >= self.min_confidence]
            first = max(low, _LARGER * BACKGROUND * max(sure, default=0))
            if first >= 2 * low:
                break
            scale = _WINDOW / first
            size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
            boxes = self._places.detectMultiScale(
                cv2.resize(smaller, size, interpolation=cv2.INTER_AREA),
                scaleFactor=step,
                minNeighbors=0,
                minSize=(_WINDOW, _WINDOW),
                maxSize=(math.ceil(2 * low * scale) - 1,) * 2,
            )
            rows = [[round(value / scale) for value in box] for box in boxes]
            # Each twice, since a group needs more than one member.
            for left, top, width, _ in (
                np.array(cv2.groupRectangles(rows * 2, 1, 0.3)[0]).reshape(-1, 4).tolist()
            ):
                found += self._judge(grey, left, top, width)
        return found

    def _judge(self, grey: Picture, left: float, top: float, side: float) -> list[Face]:
        scale = _JUDGED_AT / side
        room = _ROOM * side
        x, y = max(0, round(left - room)), max(0, round(top - room))
        region = grey[y : round(top + side + room), x : round(left + side + room)]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        region = np.asarray(cv2.resize(region, None, fx=scale, fy=scale, interpolation=method), np.uint8)
        low, high = round(0.7 * _JUDGED_AT), round(1.4 * _JUDGED_AT)
        boxes, counts = self._cascade.detectMultiScale2(
            region, scaleFactor=_FINE, minNeighbors=_NEIGHBOURS, minSize=(low, low), maxSize=(high, high)
        )
        return [
            Face(x + bx / scale, y + by / scale, max(width, height) / scale, float(count))
            for (bx, by, width, height), count in zip(np.asarray(boxes).tolist(), counts, strict=True)
        ]


class YunetDetector:
    """YuNet (Wu, Peng and Yu, 2023) from an ONNX file that the user has; the confidence is its score."""

    def __init__(self, model: Path, min_face_px: int, min_confidence: float | None = None) -> None:
        self.min_confidence = _YUNET_CONFIDENCE if min_confidence is None else min_confidence
        self._min_face_px = min_face_px
        try:
            content = np.frombuffer(model.read_bytes(), np.uint8)
            self._net: Any = cv2.FaceDetectorYN.create("onnx", content, np.zeros(0, np.uint8), (64, 64), 0.3)
            self._net.detect(np.zeros((64, 64, 3), np.uint8))
        except OSError as error:
            raise DataError(f"{model}: cannot be read ({error.strerror})") from None
        except cv2.error:
            raise DataError(
                f"{model}: no YuNet face detector: --yunet takes face_detection_yunet_2023mar.onnx of OpenCV's "
                "model zoo"
            ) from None

    def find(self, frame: Frame) -> list[Face]:
        """Faces of at least the smallest size, the most confident first."""
        picture = frame.rgb()[..., ::-1]
        scale = min(1.0, _YUNET_SMALLEST / self._min_face_px)
        found = self._look(picture, scale)
        if not any(face.confidence >= self.min_confidence for face in found):
            found += self._look(picture, scale / _YUNET_COARSER)
        return _without_twins([face for face in found if face.side >= self._min_face_px])

    def _look(self, picture: Picture, scale: float) -> list[Face]:
        smaller = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._net.setInputSize((smaller.shape[1], smaller.shape[0]))
        _, rows = self._net.detect(np.ascontiguousarray(smaller))
        faces = []
        for x, y, width, height, *_, score in [] if rows is None else rows.tolist():
            side = max(width, height)
            left, top = x + (width - side) / 2, y + (height - side) / 2
            faces.append(Face(left / scale, top / scale, side / scale, score))
        return faces


def _open_cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(_CASCADES / f"haarcascade_frontalface_{name}.xml"))


def _octaves(grey: Picture, low: float) -> Iterator[tuple[float, Picture]]:
    """The smallest side of a face of each octave, and the picture halved as often as it was doubled."""
    room = min(grey.shape)
    while low <= room:
        yield low, grey
        low *= 2
        half = grey.shape[1] // 2, grey.shape[0] // 2
        grey = np.asarray(cv2.resize(grey, half, interpolation=cv2.INTER_AREA), np.uint8)


def _without_twins(faces: list[Face]) -> list[Face]:
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if not any(other.holds_centre_of(face) for other in kept):
            kept.append(face)
    return kept
