"""Compare the networks with what the original computed: ``python tests/parity.py --fixture DIR``.

A fixture is a folder with ``parity.json`` (the seed, and the name and shape of every tensor of the original's
state dicts) and ``parity.npz`` (what the original returned). Weights and inputs come from :func:`fill`, a hash
of their name. The state dicts are written as files and read as a user would import them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if __name__ == "__main__":
    # Beside this script lies tests/wav2pix, which Python would take for the package of that name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from wav2pix.checkpoint import load_model
from wav2pix.errors import Wav2PixError
from wav2pix.original import import_original

LIMIT = 1e-4
Shapes = list[tuple[str, list[int]]]


def fill(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float64]:
    """Numbers in [-1, 1) that depend on the name, the place and the seed alone (splitmix64)."""
    base = (zlib.crc32(name.encode()) * 2654435761 + seed * 40503) % 2**32
    bits = (np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(base)) * np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return ((bits >> np.uint64(11)).astype(np.float64) / 2**53 * 2 - 1).reshape(shape)


def original_tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """A tensor of the original's state dict, scaled so that signals neither vanish nor explode."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    values = fill(name, shape, seed)
    if name.endswith("running_var"):
        values = 1 + 0.2 * values
    elif name.endswith(("weight_u", "weight_v")):
        values = values / np.linalg.norm(values)
    elif len(shape) == 1:
        scale = name.endswith("weight") and any(part in name for part in (".bn.", "net.1", "net.4"))
        values = 0.1 * values + (1.0 if scale else 0.0)
    else:
        values = values * math.sqrt(3 / math.prod(shape[1:]))
        if name == "audio_embedding.fc.4.weight":
            values = values * 2000
    return torch.from_numpy(values.astype(np.float32))


def state_dict(shapes: Shapes, seed: int) -> dict[str, Tensor]:
    """The state dict that a fixture describes."""
    return {name: original_tensor(name, tuple(shape), seed) for name, shape in shapes}


@torch.no_grad()
def outputs(
    generator: Shapes, discriminator: Shapes, size: int, seed: int
) -> dict[str, npt.NDArray[np.float32]]:
    """What our networks return for a fixture's weights and inputs, imported through files."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("generator.pth", "discriminator.pth")]
        for path, shapes in zip(paths, (generator, discriminator), strict=True):
            torch.save(state_dict(shapes, seed), path)
        judge = import_original(paths[0], paths[1], Path(folder) / "imported").discriminator
        model = load_model(Path(folder) / "imported")
    assert judge is not None
    speech = torch.from_numpy(fill("speech", (2, 16000), seed).astype(np.float32))
    face = torch.from_numpy(fill(f"face{size}", (2, 3, size, size), seed).astype(np.float32))
    embedding = model.encoder(speech)  # the fixture's speech is what the encoder hears: no normalisation
    score, features = judge(face, embedding)
    found = {
        "embedding": embedding,
        "fake": model.generator(embedding),
        "identity": model.identity_head(embedding),
        "score": score,
        "features_mean": features.mean(dim=1),
    }
    return {f"{name}_{size}": value.numpy() for name, value in found.items()}


def errors(fixture: Path) -> dict[str, float]:
    """The largest error of each output, relative to the largest value of that output of the original."""
    described = json.loads((fixture / "parity.json").read_text(encoding="utf-8"))
    found: dict[str, npt.NDArray[np.float32]] = {}
    for size in (64, 128):
        generator, discriminator = (described[part][str(size)] for part in ("generator", "discriminator"))
        found |= outputs(generator, discriminator, size, described["seed"])
    with np.load(fixture / "parity.npz", allow_pickle=False) as expected:
        return {name: _relative_error(value, expected[name]) for name, value in found.items()}


def _relative_error(value: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    if value.shape != expected.shape:
        return math.inf
    difference = np.abs(value.astype(np.float64) - expected.astype(np.float64)).max()
    return float(difference / np.abs(expected).max())


def main() -> int:
    """Print the errors; 0 if all are below the limit, 1 if not, 2 if there is no fixture."""
    parser = argparse.ArgumentParser(description="compare the networks with what the original computed")
    parser.add_argument("--fixture", type=Path, required=True, help="folder with parity.json and parity.npz")
    fixture = parser.parse_args().fixture
    missing = [name for name in ("parity.json", "parity.npz") if not (fixture / name).is_file()]
    if missing:
        print(f"{fixture}: no {' and no '.join(missing)}", file=sys.stderr)
        return 2
    try:
        found = errors(fixture)
    except Wav2PixError as error:
        print(error, file=sys.stderr)
        return 1
    for name, size in found.items():
        print(f"{name:20} {size:.1e}{'' if size < LIMIT else '  too large'}")
    good = all(size < LIMIT for size in found.values())
    print(f"largest relative errors, {'all below' if good else 'NOT all below'} {LIMIT:g}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
