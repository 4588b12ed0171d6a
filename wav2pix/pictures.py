"""Pictures for people: grids of faces, as PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from wav2pix.batches import centre_windows, tensor_to_faces
from wav2pix.data import Dataset, Split
from wav2pix.drawing import draw_faces
from wav2pix.files import write_atomically
from wav2pix.models import Wav2Pix

Faces = npt.NDArray[np.uint8]


def grid(faces: Faces, columns: int, gap: int = 2) -> Faces:
    """(N, S, S, 3) faces row by row to one picture (H, W, 3) on white."""
    num, size = len(faces), faces.shape[1]
    rows = -(-num // columns)
    step = size + gap
    picture = np.full((rows * step - gap, columns * step - gap, 3), 255, np.uint8)
    for index, face in enumerate(faces):
        top, left = index // columns * step, index % columns * step
        picture[top : top + size, left : left + size] = face
    return picture


def comparison_grid(model: Wav2Pix, data: Dataset, split: Split, columns: int = 8) -> Faces:
    """Up to five identities: held-out faces in one row, below it those drawn from the voice of that moment."""
    known = [index for index, name in enumerate(data.identities) if name in model.identities]
    rows = data.indices(split)
    picked = [rows[data.identity[rows] == identity] for identity in known]
    picked = [_spread(of_one, columns) for of_one in picked if len(of_one)][:5]
    chosen = np.concatenate(picked) if picked else rows[:0]
    generated = tensor_to_faces(draw_faces(model, centre_windows(data, chosen, model.window_samples)))
    real = data.faces[data.face[chosen]]
    lines = [block.reshape(-1, columns, *real.shape[1:]) for block in (real, generated)]
    return grid(np.stack(lines, axis=1).reshape(-1, *real.shape[1:]), columns)


def save_picture(path: Path, picture: Faces) -> None:
    """Write (H, W, 3) RGB as PNG, atomically."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def _spread(rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """``count`` of the rows, evenly spaced; some more than once if there are fewer."""
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]
