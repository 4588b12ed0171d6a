"""Faces from recordings: one face for each window of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wav2pix.audio import load_speech
from wav2pix.batches import tensor_to_faces
from wav2pix.drawing import draw_faces
from wav2pix.errors import AudioError, Wav2PixError
from wav2pix.models import SAMPLE_RATE_HZ, Wav2Pix
from wav2pix.pictures import Faces, grid, save_picture
from wav2pix.speech import to_samples


@dataclass(frozen=True)
class Drawing:
    """The faces drawn from one recording.

    Attributes:
        source: the sound file.
        faces: (N, S, S, 3) uint8, one a window, in the order of time.
    """

    source: Path
    faces: Faces


def draw_file(model: Wav2Pix, path: Path) -> Drawing:
    """A face for every second of a sound file, or for every window where the model's window is longer.

    Raises:
        AudioError: the file cannot be read or is shorter than one window.
    """
    speech = load_speech(path, SAMPLE_RATE_HZ)
    windows = _windows(speech, model.window_samples)
    if len(windows) == 0:
        raise AudioError(
            f"{path}: {len(speech) / SAMPLE_RATE_HZ:.2f} s of sound; "
            f"this model needs {model.window_samples / SAMPLE_RATE_HZ:.2f} s"
        )
    return Drawing(path, tensor_to_faces(draw_faces(model, windows)))


def save_drawings(drawings: Sequence[Drawing], out: Path) -> list[Path]:
    """Write pictures: ``out`` ending in .png takes one recording, as a grid when it has many faces.

    Any other ``out`` is a folder: one numbered picture a window, or, for several recordings, a grid each.

    Returns:
        The files written.
    """
    if out.suffix.lower() == ".png":
        if len(drawings) > 1:
            raise Wav2PixError(f"{out}: {len(drawings)} recordings do not go into one picture; give a folder")
        save_picture(out, _grid(drawings[0].faces))
        return [out]
    if len(drawings) == 1:
        stem, faces = drawings[0].source.stem, drawings[0].faces
        pictures = {out / f"{stem}-{second:04d}.png": face for second, face in enumerate(faces)}
    else:
        pictures = {
            out / f"{_unique_name(drawings, index)}.png": _grid(drawing.faces)
            for index, drawing in enumerate(drawings)
        }
    for path, picture in pictures.items():
        save_picture(path, picture)
    return list(pictures)


def _windows(speech: npt.NDArray[np.float32], samples: int) -> npt.NDArray[np.int16]:
    """(N, samples): windows that follow each other by one second, or by their length where that is more."""
    hop = max(samples, SAMPLE_RATE_HZ)
    starts = range(0, len(speech) - samples + 1, hop)
    scaled = to_samples(speech)
    return np.stack([scaled[start : start + samples] for start in starts]) if starts else scaled[:0]


def _grid(faces: Faces) -> Faces:
    return faces[0] if len(faces) == 1 else grid(faces, columns=min(8, len(faces)))


def _unique_name(drawings: Sequence[Drawing], index: int) -> str:
    stem = drawings[index].source.stem
    earlier = sum(drawing.source.stem == stem for drawing in drawings[:index])
    return f"{stem}-{earlier + 1}" if earlier else stem
