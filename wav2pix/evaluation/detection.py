"""Is there a face in the picture: OpenCV's frontal Haar cascade, and 68 landmarks by a model of the user's."""

from __future__ import annotations

from pathlib import Path

import cv2
import cv2.data
import numpy as np
import numpy.typing as npt

from wav2pix.errors import Wav2PixError
from wav2pix.evaluation.onnx_network import OnnxNetwork, open_onnx

Faces = npt.NDArray[np.uint8]
Found = npt.NDArray[np.bool_]

# As the data set was made from videos: scale 1.1, 5 neighbours. A crop is shown at one size, and on a border,
# since the cascade looks for more of a head than a close crop has.
SIZE = 128
BORDER = 32
SCALE = 1.1
NEIGHBOURS = 5
NUM_LANDMARKS = 68
# A picture is moved by this share of it, four ways, and its landmarks must go along, to a tenth of the distance
# of the eyes: where they are further off, benchmarks count a failure (Burgos-Artizzu et al., 2013).
MOVED = 0.08
MAX_ERROR = 0.1


class HaarDetector:
    """OpenCV's frontal face cascade (Viola and Jones, 2001), which comes with OpenCV."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self._cascade = cv2.CascadeClassifier(
            str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml")
        )
        assert not self._cascade.empty()

    def found(self, faces: Faces) -> Found:
        """(N, S, S, 3) uint8 RGB pictures to (N,): is there a face of a third of the side or more."""
        return np.array([len(self._boxes(face)) > 0 for face in faces], np.bool_)

    def _boxes(self, face: Faces) -> npt.NDArray[np.int32]:
        grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        grey = cv2.copyMakeBorder(grey, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
        boxes: npt.NDArray[np.int32] = np.asarray(
            self._cascade.detectMultiScale(grey, SCALE, NEIGHBOURS, minSize=(SIZE // 3, SIZE // 3)), np.int32
        )
        return boxes


class LandmarkFinder:
    """A model of 68 landmarks in the order of Sagonas et al., "300 Faces in-the-Wild" (2013), from ONNX.

    It takes one RGB picture with values in [0, 1] and gives 136 or 68 by 2 coordinates, x before y, as shares
    of the picture or, where one is above 2, in pixels of its input; or 68 maps whose highest places are the
    landmarks. Such a model gives points for any picture, most of them arranged as a face is, so they count as
    found only where they

    - lie as in a face: inside the picture, the eyes apart by a tenth of it or more and level within 45 degrees,
      the tip of the nose below the eyes, the mouth below that, the chin below the mouth;
    - and go along when the picture is moved, to a tenth of the distance of the eyes.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        """Open the model.

        Args:
            path: an ONNX file.
            size: of the pictures that it takes, in pixels, where the file does not say.

        Raises:
            Wav2PixError: the file is missing, no ONNX model, or gives something else than 68 landmarks.
        """
        self._network: OnnxNetwork = open_onnx(path, size, otherwise=256)
        self._path = path
        side = self._network.size
        self._points(np.full((1, side, side, 3), 127, np.uint8))

    def found(self, faces: Faces) -> Found:
        """(N, S, S, 3) uint8 RGB pictures to (N,): whether the landmarks are those of a face."""
        return np.array([self._finds(face) for face in faces], np.bool_)

    def _finds(self, face: Faces) -> bool:
        points = self._points(face[None])
        if not lie_as_in_a_face(points):
            return False
        errors = []
        for step in ((MOVED, 0), (-MOVED, 0), (0, MOVED), (0, -MOVED)):
            moved = self._points(_move(face, *step)[None]) - step
            errors.append(np.linalg.norm(moved - points, axis=1).mean())
        left, right = _eyes(points)
        return bool(np.mean(errors) <= MAX_ERROR * np.linalg.norm(right - left))

    def _points(self, face: Faces) -> npt.NDArray[np.float64]:
        """(68, 2) x and y as shares of the picture."""
        given = self._network.run(face, mean=0.0, scale=1 / 255)
        if given.ndim == 4 and given.shape[1] == NUM_LANDMARKS:
            height, width = given.shape[2:]
            places = given[0].reshape(NUM_LANDMARKS, -1).argmax(axis=1)
            return np.stack([places % width + 0.5, places // width + 0.5], axis=1) / (width, height)
        if given.size != 2 * NUM_LANDMARKS:
            raise Wav2PixError(
                f"{self._path}: gives {'x'.join(map(str, given.shape))} numbers for a picture; "
                "a model of 68 landmarks gives 136 coordinates or 68 maps"
            )
        points = given.reshape(NUM_LANDMARKS, 2).astype(np.float64)
        return points / self._network.size if np.abs(points).max() > 2 else points


def lie_as_in_a_face(points: npt.NDArray[np.float64]) -> bool:
    """Whether (68, 2) landmarks, as shares of the picture with y downwards, can be those of a face."""
    if not np.isfinite(points).all() or (points < -0.1).any() or (points > 1.1).any():
        return False
    left, right = _eyes(points)
    apart, rise = right - left
    if apart < 0.1 or abs(rise) > apart:
        return False
    # Down the face, at right angles to the line of the eyes.
    down = np.array([-rise, apart]) / np.hypot(apart, rise)
    heights = [points[36:48].mean(axis=0), points[30], points[48:68].mean(axis=0), points[8]]
    return bool((np.diff(np.array(heights) @ down) > 0).all())


def _eyes(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The middles of the eye on the left of the picture and of that on the right."""
    return points[36:42].mean(axis=0), points[42:48].mean(axis=0)


def _move(face: Faces, right: float, down: float) -> Faces:
    """The picture moved by shares of its side; what comes into it repeats its edge."""
    side = len(face)
    by = np.array([[1, 0, right * side], [0, 1, down * side]], np.float32)
    return np.asarray(cv2.warpAffine(face, by, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)
