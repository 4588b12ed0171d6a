"""What decides which pairs a video gives."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wav2pix.errors import DataError

SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True)
class BuildSettings:
    """How faces and speech are taken from videos.

    Attributes:
        image_size: S, height and width of a face in pixels, 64 or 128.
        window_s: seconds of speech of a pair, centred on the time of its face.
        every_s: seconds from one looked-at instant to the next.
        margin: what is added around the found box on each side, as a share of its side.
        min_face_px: side of the smallest face, in pixels of the video.
        min_sharpness: of a face, the variance of its Laplacian; see :mod:`wav2pix.data.videos.faces`.
        min_confidence: of a face that counts; None is the detector's own.
        largest_face: of several faces take the largest instead of dropping the instant.
        voice_activity: drop instants whose window does not sound like a voice.
        yunet: ONNX file of the YuNet detector; None is OpenCV's frontal Haar cascade.
        seed: of the split.
    """

    image_size: int = 128
    window_s: float = 4.0
    every_s: float = 1.0
    margin: float = 0.0
    min_face_px: int = 40
    min_sharpness: float = 40.0
    min_confidence: float | None = None
    largest_face: bool = False
    voice_activity: bool = False
    yunet: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.image_size not in (64, 128):
            raise DataError("--image-size must be 64 or 128")
        for option, seconds, low, high in (
            ("window", self.window_s, 0.1, 60),
            ("every", self.every_s, 0.02, 3600),
        ):
            if not (math.isfinite(seconds) and low <= seconds <= high):
                raise DataError(f"--{option} must be {low:g} to {high:g} seconds, not {seconds:g}")
        if not 0 <= self.margin <= 2:
            raise DataError(f"--margin must be 0 to 2 times the side of the face, not {self.margin:g}")
        if self.min_face_px < 24:
            raise DataError("--min-face must be at least 24 pixels: the cascade knows no smaller faces")

    @property
    def window_samples(self) -> int:
        """T, samples of a window at 16 kHz."""
        return round(self.window_s * SAMPLE_RATE_HZ)

    def source(self) -> dict[str, Any]:
        """As ``dataset.json`` keeps it."""
        return asdict(self) | {"yunet": self.yunet and self.yunet.name}

    def part_key(self) -> str:
        """What the pairs of one video depend on: all but the seed, and the detector's content for its name."""
        model = self.yunet and hashlib.sha256(self.yunet.read_bytes()).hexdigest()
        return json.dumps(asdict(self) | {"yunet": model, "seed": None}, sort_keys=True)
