"""How well and how quickly ``wav2pix data build`` finds faces, against the cascade over the whole picture.

    python -m benchmarks.detect DATA [--pictures 400]

Pastes faces of a data set, at 45 to 400 px, into pictures of 1280 x 720, every other one of them busy, with the
noise of a camera. Two detectors take the same pictures in turn: the one of the build, and OpenCV's default
frontal cascade as it comes (scale 1.1, 5 neighbours, 40 px). The data set should hold photographs: of drawn
faces the cascade finds those that look like one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from wav2pix.data import open_dataset
from wav2pix.data.videos.detect import Face, make_detector
from wav2pix.data.videos.settings import BuildSettings

WIDTH, HEIGHT = 1280, 720
SIDES = 45, 400
NOISE = 3.0

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A grey picture with a face."""

    picture: Picture
    face: Face

    def grey(self) -> Picture:
        """What a detector asks a frame of a video for."""
        return self.picture


@dataclass
class Score:
    """What a detector made of the scenes; a face counts from a confidence on."""

    threshold: float
    found: list[bool] = field(default_factory=list)
    right: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, scene: Scene, detect: Callable[[Scene], list[Face]]) -> None:
        """Let it find the faces of one."""
        start = time.process_time()
        faces = detect(scene)
        self.cpu_s.append(time.process_time() - start)
        right = [f for f in faces if scene.face.holds_centre_of(f) and f.side > scene.face.side / 2]
        self.found.append(any(face.confidence >= self.threshold for face in right))
        self.right += [face.confidence for face in right]
        self.others += [face.confidence for face in faces if face not in right]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data set whose faces are pasted")
    parser.add_argument("--pictures", type=int, default=400)
    options = parser.parse_args()
    settings = BuildSettings()
    detector = make_detector(settings)  # with one thread, which holds for all of OpenCV
    ours, plain = Score(detector.min_confidence), Score(0)
    whole = make_plain(settings.min_face_px)
    for scene in make_scenes(open_dataset(options.data).faces, options.pictures):
        ours.add(scene, detector.find)
        plain.add(scene, whole)
    print(f"{options.pictures} pictures of {WIDTH} x {HEIGHT}, one face each, {SIDES[0]} to {SIDES[1]} px")
    print("                 found   others a picture     mean")
    for name, score in (("data build", ours), ("whole picture", plain)):
        others = sum(confidence >= score.threshold for confidence in score.others) / options.pictures
        cpu_ms = 1e3 * np.mean(score.cpu_s)
        print(f"{name:<14} {np.mean(score.found):7.1%} {others:18.3f} {cpu_ms:5.1f} CPU-ms")
    print(f"time, whole picture against data build: {np.mean(plain.cpu_s) / np.mean(ours.cpu_s):.1f}")
    low, middle = np.percentile(ours.right, (1, 50))
    print(f"confidence of those found: median {middle:.0f}, of 99 in 100 at least {low:.0f}")
    print(f"confidence of {len(ours.others)} others: median {np.median(ours.others):.0f}")


def make_plain(min_face_px: int) -> Callable[[Scene], list[Face]]:
    """The cascade as it comes."""
    name = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(name))

    def detect(scene: Scene) -> list[Face]:
        boxes = cascade.detectMultiScale(scene.picture, 1.1, 5, minSize=(min_face_px, min_face_px))
        return [Face(left, top, side, 0) for left, top, side, _ in np.reshape(boxes, (-1, 4)).tolist()]

    return detect


def make_scenes(faces: Picture, count: int) -> Iterator[Scene]:
    """Faces, (N, S, S, 3) RGB, taken at random."""
    rng = np.random.default_rng(0)
    for number in range(count):
        face = cv2.cvtColor(np.asarray(faces[rng.integers(len(faces))]), cv2.COLOR_RGB2GRAY)
        side = round(np.exp(rng.uniform(*np.log(SIDES))))
        left, top = int(rng.integers(WIDTH - side)), int(rng.integers(HEIGHT - side))
        busy = (
            rng.integers(40, 160, (HEIGHT // 12, WIDTH // 8)) if number % 2 else rng.integers(30, 220, (1, 1))
        )
        picture = cv2.resize(busy.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        method = cv2.INTER_AREA if side < len(face) else cv2.INTER_CUBIC
        picture[top : top + side, left : left + side] = cv2.resize(face, (side, side), interpolation=method)
        picture += rng.normal(0, NOISE, picture.shape)
        yield Scene(np.clip(picture, 0, 255).astype(np.uint8), Face(left, top, side, 0))


if __name__ == "__main__":
    main()
