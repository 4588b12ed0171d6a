"""The original network restated plainly, by the names of its tensors: what the import is tested against."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

GENERATOR = {
    64: ["netG.0", "netG.3.0", "netG.3.3", "netG.3.6", "netG.3.9"],
    128: ["netG.0", "netG.3", "netG.6.0", "netG.6.3", "netG.6.6", "netG.6.9"],
}
DISCRIMINATOR = {
    64: ["netD_1.0", "netD_1.2", "netD_1.4", "netD_1.6"],
    128: ["netD_1.0.0", "netD_1.0.2", "netD_1.0.4", "netD_1.0.6", "netD_1.1"],
}
SPEECH = [1, 16, 32, 128, 256, 512, 1024]
FACES = {64: [3, 64, 128, 256, 512], 128: [3, 64, 128, 256, 512, 1024]}

Shapes = list[tuple[str, list[int]]]


def generator_shapes(size: int, places: int, identities: int) -> Shapes:
    """Name and shape of every tensor of the generator, for speech that leaves ``places`` places."""
    shapes: Shapes = []
    for index, (below, above) in enumerate(pairwise(SPEECH)):
        name = f"audio_embedding.disc.{index}"
        shapes += [(f"{name}.conv.weight", [above, below, 15]), (f"{name}.conv.bias", [above])]
        shapes += _norm(f"{name}.bn", above)
    for index, (before, after) in ((0, (1024 * places, 256)), (2, (256, 128)), (4, (128, 128))):
        shapes += _linear(f"audio_embedding.fc.{index}", before, after)
    shapes += _linear("aux_classifier.net.0", 128, 200) + _norm("aux_classifier.net.1", 200)
    shapes += _linear("aux_classifier.net.3", 200, identities) + _norm("aux_classifier.net.4", identities)
    widths = [128, *reversed(FACES[size])]
    for name, below, above in zip(GENERATOR[size], widths[:-1], widths[1:], strict=True):
        shapes += _spectral(name, below, above)
    return shapes


def discriminator_shapes(size: int) -> Shapes:
    """Name and shape of every tensor of the discriminator."""
    widths = FACES[size]
    shapes: Shapes = []
    for name, below, above in zip(DISCRIMINATOR[size], widths[:-1], widths[1:], strict=True):
        shapes += _spectral(name, above, below)
    return [*shapes, ("netD_2.weight", [1, widths[-1] + 128, 4, 4])]


def outputs(
    generator: dict[str, Tensor], discriminator: dict[str, Tensor], speech: Tensor, faces: Tensor
) -> dict[str, Tensor]:
    """What the original returns in eval mode for speech (B, T) and faces (B, 3, S, S)."""
    size = faces.shape[2]
    embedding = _encode(generator, speech)
    score, features = _judge(discriminator, faces, embedding, size)
    return {
        f"embedding_{size}": embedding,
        f"fake_{size}": _draw(generator, embedding, size),
        f"identity_{size}": _classify(generator, embedding),
        f"score_{size}": score,
        f"features_mean_{size}": features.mean(dim=(2, 3)),
    }


def _encode(tensors: dict[str, Tensor], speech: Tensor) -> Tensor:
    maps = speech[:, None]
    for index in range(6):
        name = f"audio_embedding.disc.{index}"
        maps = F.conv1d(F.pad(maps, (6, 7)), tensors[f"{name}.conv.weight"], tensors[f"{name}.conv.bias"], 4)
        maps = F.leaky_relu(_normalised(tensors, f"{name}.bn", maps), 0.3)
    hidden = maps.flatten(1)
    for index in (0, 2, 4):
        name = f"audio_embedding.fc.{index}"
        hidden = F.linear(F.relu(hidden) if index else hidden, *_affine(tensors, name))
    return hidden


def _classify(tensors: dict[str, Tensor], embedding: Tensor) -> Tensor:
    hidden = F.linear(embedding, *_affine(tensors, "aux_classifier.net.0"))
    hidden = F.leaky_relu(_normalised(tensors, "aux_classifier.net.1", hidden), 0.2)
    logits = F.linear(hidden, *_affine(tensors, "aux_classifier.net.3"))
    return _normalised(tensors, "aux_classifier.net.4", logits)


def _draw(tensors: dict[str, Tensor], embedding: Tensor, size: int) -> Tensor:
    maps = embedding[:, :, None, None]
    for index, name in enumerate(GENERATOR[size]):
        weight = normalised_weight(tensors, f"{name}.module")
        stride, padding = (2, 1) if index else (1, 0)
        maps = F.conv_transpose2d(F.relu(maps) if index else maps, weight, stride=stride, padding=padding)
    return torch.tanh(maps)


def _judge(tensors: dict[str, Tensor], faces: Tensor, embedding: Tensor, size: int) -> tuple[Tensor, Tensor]:
    maps = faces
    for name in DISCRIMINATOR[size]:
        weight = normalised_weight(tensors, f"{name}.module")
        maps = F.leaky_relu(F.conv2d(maps, weight, stride=2, padding=1), 0.2)
    tiled = embedding[:, :, None, None].repeat(1, 1, 4, 4)
    return F.conv2d(torch.cat([maps, tiled], 1), tensors["netD_2.weight"]).flatten(), maps


def normalised_weight(tensors: dict[str, Tensor], name: str) -> Tensor:
    """W over its largest singular value after one step of the power iteration."""
    weight = tensors[f"{name}.weight_bar"]
    matrix = weight.reshape(weight.shape[0], -1)
    with torch.no_grad():
        v = F.normalize(matrix.t() @ tensors[f"{name}.weight_u"], dim=0)
        u = F.normalize(matrix @ v, dim=0)
    return weight / (u @ matrix @ v)


def _affine(tensors: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _normalised(tensors: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
    return F.batch_norm(values, mean, variance, *_affine(tensors, name))


def _linear(name: str, before: int, after: int) -> Shapes:
    return [(f"{name}.weight", [after, before]), (f"{name}.bias", [after])]


def _norm(name: str, size: int) -> Shapes:
    keys = ("weight", "bias", "running_mean", "running_var")
    return [(f"{name}.{key}", [size]) for key in keys] + [(f"{name}.num_batches_tracked", [])]


def _spectral(name: str, rows: int, channels: int) -> Shapes:
    return [
        (f"{name}.module.weight_u", [rows]),
        (f"{name}.module.weight_v", [16 * channels]),
        (f"{name}.module.weight_bar", [rows, channels, 4, 4]),
    ]
