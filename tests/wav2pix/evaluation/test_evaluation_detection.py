"""The detector finds faces and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from wav2pix.data import open_dataset
from wav2pix.evaluation.detection import HaarDetector


def test_real_faces_are_found_at_the_size_that_models_draw(sample_folder: Path) -> None:
    files = sorted(sample_folder.rglob("*.png"))[::50]
    faces = np.stack([np.asarray(Image.open(file).convert("RGB").resize((64, 64))) for file in files])
    assert HaarDetector().found(faces).mean() > 0.95
    assert HaarDetector().found(faces[:, ::-1]).mean() < 0.3  # upside down


def test_drawn_faces_are_rather_found_than_the_same_upside_down(tiny_data: Path) -> None:
    faces = np.asarray(open_dataset(tiny_data).faces)
    detector = HaarDetector()
    assert detector.found(faces).mean() > 0.25 > 2 * detector.found(faces[:, ::-1]).mean()


def test_what_is_no_face_is_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    slope = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None, None], (1, 64, 64, 3))
    assert not HaarDetector().found(np.concatenate([noise, slope])).any()
