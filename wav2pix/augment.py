"""Augmentation that gradients pass through: DiffAugment (Zhao et al., NeurIPS 2020), and a shift of speech."""

from __future__ import annotations

import torch
from torch import Tensor

from wav2pix.config import AugmentConfig


def diff_augment(faces: Tensor, config: AugmentConfig | None) -> Tensor:
    """Mirroring, colour, translation and cutout, drawn anew for each face.

    The discriminator sees nothing else, real or generated, so it cannot learn a small data set by heart;
    the generator is not taught the augmentations, since gradients reach it through them.

    Args:
        faces: (B, 3, S, S) in [-1, 1].

    Returns:
        (B, 3, S, S); colours may leave [-1, 1].
    """
    if config is None:
        return faces
    if config.flip:
        faces = torch.where(_uniform(faces) < 0.5, faces, faces.flip(3))
    if config.colour > 0:
        faces = _jitter_colour(faces, config.colour)
    if config.translation > 0:
        faces = _translate(faces, config.translation)
    if config.cutout > 0:
        faces = _cut_out(faces, config.cutout)
    return faces


def shift_speech(speech: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Rotate each window (B, T) by a time of its own: a voice does not depend on when it speaks."""
    num, length = speech.shape
    start = torch.randint(length, (num, 1), generator=generator).to(speech.device)
    index = (torch.arange(length, device=speech.device) + start) % length
    return speech.gather(1, index)


def _uniform(faces: Tensor) -> Tensor:
    return torch.rand(len(faces), 1, 1, 1, device=faces.device, dtype=faces.dtype)


def _jitter_colour(faces: Tensor, strength: float) -> Tensor:
    """Brightness +-0.5, saturation 0 to 2, contrast 0.5 to 1.5 at strength 1."""
    faces = faces + strength * (_uniform(faces) - 0.5)
    grey = faces.mean(dim=1, keepdim=True)
    faces = grey + (faces - grey) * (1 + strength * (2 * _uniform(faces) - 1))
    mean = faces.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (faces - mean) * (1 + strength * (_uniform(faces) - 0.5))


def _translate(faces: Tensor, share: float) -> Tensor:
    """Shift by up to ``share`` of the side; what comes in is grey (zero)."""
    num, _, size, _ = faces.shape
    reach = max(1, round(share * size))
    shift = torch.randint(-reach, reach + 1, (2, num, 1), device=faces.device)
    place = torch.arange(size, device=faces.device) + shift + reach
    padded = torch.nn.functional.pad(faces, (reach,) * 4)
    rows = padded.gather(2, place[0][:, None, :, None].expand(-1, 3, -1, padded.shape[3]))
    return rows.gather(3, place[1][:, None, None, :].expand(-1, 3, size, -1))


def _cut_out(faces: Tensor, share: float) -> Tensor:
    """Make one square of side ``share`` grey, centred anywhere in the picture."""
    num, _, size, _ = faces.shape
    centre = torch.randint(size, (2, num, 1), device=faces.device)
    inside = (torch.arange(size, device=faces.device) - centre).abs() * 2 < share * size
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return faces * ~hole
