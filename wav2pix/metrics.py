"""Measures of generated faces, each beside the ceiling, the chance or the baseline that gives it meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from wav2pix.batches import centre_windows, check_data, faces_to_tensor
from wav2pix.data import Dataset, Split
from wav2pix.errors import DataError
from wav2pix.judge import Judge, faces_by_identity
from wav2pix.models import Wav2Pix

BATCH_SIZE = 64


@dataclass(frozen=True)
class Evaluation:
    """The measures of a model on one split.

    Attributes:
        metrics: by name, as in JSON and in MLflow; :func:`evaluate` explains each.
        num_pairs: how many pairs were looked at.
        unknown_identities: speakers of the data that the model was not trained on, left out.
        spread: standard deviation over all generated pictures, mean over pixels, in [-1, 1] units.
    """

    metrics: dict[str, float]
    num_pairs: int
    unknown_identities: tuple[str, ...]
    spread: float


def evaluate(
    model: Wav2Pix, data: Dataset, split: Split | Literal["all"], judge: Judge, max_pairs: int | None = None
) -> Evaluation:
    """Draw a face for each window of speech and compare with the real ones.

    - ``identity_accuracy``: share of generated faces that the judge, a classifier trained on the real training
      faces, gives to the speaker. ``_ceiling``: the same for the real faces of these pairs; ``_chance``: one
      over the number of identities; ``_shuffled``: when speech is dealt out at random over the pairs.
    - ``l1``: mean absolute difference from the real face, pixels in [-1, 1]; ``l1_mean_face``: that of the mean
      training face of the identity, the baseline.
    - ``sharpness``: mean variance of the Laplacian, generated over real. 1 is as sharp as real, 0 is fog.
    - ``diversity``: standard deviation within an identity, generated over real. 0 is one picture a person.
    - ``kid``: kernel distance between generated and real faces in the judge's features, around 0 where they
      cannot be told apart; comparable on one data set only, since every data set has its own judge.

    Args:
        model: is evaluated in eval mode, and left in the mode it was in.
        max_pairs: at most so many pairs, evenly spread over the split.

    Raises:
        DataError: the data do not suit the model, or share no identity with it.
    """
    check_data(model.config, data)
    rows = np.arange(len(data)) if split == "all" else data.indices(split)
    known = np.isin(np.array(data.identities), model.identities)
    rows = rows[known[data.identity[rows]]]
    if len(rows) == 0:
        raise DataError(
            f"{data.root}: no pair of split '{split}' is of an identity that the model knows "
            f"(it knows {', '.join(model.identities)})"
        )
    if max_pairs is not None and len(rows) > max_pairs:
        rows = rows[np.linspace(0, len(rows) - 1, max_pairs).round().astype(np.int64)]
    identities = torch.from_numpy(data.identity[rows])
    generated = draw_faces(model, centre_windows(data, rows, model.window_samples))
    real = faces_to_tensor(data.faces[data.face[rows]])

    named, generated_features = judge.look(generated)
    named_real, real_features = judge.look(real)
    shuffled = identities[torch.from_numpy(np.random.default_rng(0).permutation(len(rows)))]
    mean_faces = _mean_faces(data)
    metrics = {
        "identity_accuracy": _share(named == identities),
        "identity_accuracy_ceiling": _share(named_real == identities),
        "identity_accuracy_chance": 1 / len(data.identities),
        "identity_accuracy_shuffled": _share(named == shuffled),
        "l1": float((generated - real).abs().mean()),
        "l1_mean_face": float((mean_faces[identities] - real).abs().mean()),
        "sharpness": sharpness(generated) / sharpness(real),
        "diversity": diversity(generated, identities) / diversity(real, identities),
        "kid": kernel_distance(generated_features, real_features),
    }
    unknown = tuple(name for name, is_known in zip(data.identities, known, strict=True) if not is_known)
    return Evaluation(metrics, len(rows), unknown, float(generated.std(dim=0).mean()))


@torch.no_grad()
def draw_faces(model: Wav2Pix, speech: npt.NDArray[np.int16]) -> Tensor:
    """(N, T) windows of speech to (N, 3, S, S) faces in [-1, 1] on the CPU, in eval mode."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    batches = torch.from_numpy(np.array(speech)).split(BATCH_SIZE)
    faces = torch.cat([model(batch.to(device)).float().cpu() for batch in batches])
    model.train(was_training)
    return faces


def sharpness(faces: Tensor) -> float:
    """Mean over faces (N, 3, S, S) of the variance of the Laplacian of the grey picture."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    edges = F.conv2d(faces.mean(dim=1, keepdim=True), kernel[None, None])
    return float(edges.flatten(1).var(dim=1).mean())


def diversity(faces: Tensor, identities: Tensor) -> float:
    """Standard deviation of the faces of one identity, mean over pixels and identities."""
    groups = [faces[identities == identity] for identity in identities.unique()]
    return float(torch.stack([group.std(dim=0, unbiased=False).mean() for group in groups]).mean())


def kernel_distance(one: Tensor, other: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy of features (N, C) and (M, C), kernel (x.y / C + 1)^3.

    Binkowski et al., "Demystifying MMD GANs" (2018), equation 4, which made it known as KID.
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x.double() @ y.double().T / x.shape[1] + 1) ** 3

    def mean_of_pairs(x: Tensor) -> Tensor:
        values = kernel(x, x)
        return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))

    return float(mean_of_pairs(one) + mean_of_pairs(other) - 2 * kernel(one, other).mean())


def _mean_faces(data: Dataset) -> Tensor:
    """(identities, 3, S, S): the mean training face of each."""
    faces, identities = faces_by_identity(data)
    size = data.image_size
    means = np.full((len(data.identities), size, size, 3), 127.5)
    for identity in np.unique(identities):
        means[identity] = data.faces[faces[identities == identity]].mean(axis=0, dtype=np.float64)
    return torch.from_numpy(means).permute(0, 3, 1, 2).float() / 127.5 - 1


def _share(hits: Tensor) -> float:
    return float(hits.float().mean())
