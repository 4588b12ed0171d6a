"""The judge: a small classifier of real faces by identity, which then says whom a generated face shows.

It is trained on the real training faces of a data set alone, so it is the same for every model that is
measured on that data set; it is kept in the user's cache folder under the data set's content hash.
"""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from wav2pix.augment import diff_augment
from wav2pix.batches import faces_to_tensor
from wav2pix.config import AugmentConfig
from wav2pix.data import Dataset
from wav2pix.evaluation.interfaces import Scorer
from wav2pix.evaluation.training_faces import faces_by_identity

VERSION = 1
NUM_STEPS = 300
BATCH_SIZE = 64
SIZE = 64


class Judge(nn.Module):
    """Four strided convolutions on 64 px faces, mean over places, one linear layer.

    An :class:`~wav2pix.evaluation.interfaces.Embedder`: its features are those before the linear layer.
    """

    def __init__(self, num_identities: int) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, 128)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 3, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.1),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(widths[-1], num_identities)

    @property
    def name(self) -> str:
        """What the features are, for people."""
        return f"the data set's own judge of faces, {self.linear.in_features} features"

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, S, S) faces in [-1, 1] to (B, identities) logits."""
        logits: Tensor = self.linear(self.convolutions(_even(faces)).mean(dim=(2, 3)))
        return logits

    @torch.no_grad()
    def embed(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) faces in [-1, 1] to (N, C) features, in eval mode."""
        return torch.cat([self.maps(batch)[-1].mean(dim=(2, 3)) for batch in faces.split(256)])

    @torch.no_grad()
    def maps(self, faces: Tensor) -> list[Tensor]:
        """(N, 3, S, S) faces in [-1, 1] to the maps (N, C, H, W) after each convolution, in eval mode."""
        self.eval()
        maps = [_even(faces)]
        kept = []
        for layer in self.convolutions:
            maps.append(layer(maps[-1]))
            if isinstance(layer, nn.LeakyReLU):
                kept.append(maps[-1])
        return kept

    def scorer(self, data: Dataset) -> Scorer:
        """The logits of features; the identities are those of the data set that the judge was trained on."""
        assert self.linear.out_features == len(data.identities)

        def scores(features: Tensor) -> Tensor:
            with torch.no_grad():
                logits: Tensor = self.linear(features)
            return logits

        return scores


def get_judge(data: Dataset) -> Judge:
    """The judge of a data set: from the cache, or trained now (some seconds) and kept there.

    Leaves torch's random state as it was: a run must not depend on who trained the judge.

    Raises:
        DataError: the data set has no training faces.
    """
    path = _cache_folder() / f"judge-{VERSION}-{data.content_hash}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = Judge(len(data.identities))
        try:
            judge.load_state_dict(load(path.read_bytes()))
        except (OSError, SafetensorError, RuntimeError):  # missing or damaged: the cache is only a cache
            _train(judge, data)
            _keep(judge, path)
    return judge.eval()


def _even(faces: Tensor) -> Tensor:
    """Normalised by picture and colour: a recording's light and background must not name the speaker."""
    return F.instance_norm(F.adaptive_avg_pool2d(faces, SIZE))


def _train(judge: Judge, data: Dataset) -> None:
    rows, identities = faces_by_identity(data)
    augment = AugmentConfig(cutout=0.25, translation=0.125, colour=1.0)
    faces = F.adaptive_avg_pool2d(faces_to_tensor(data.faces[rows]), SIZE)
    labels = torch.from_numpy(identities)
    optimizer = torch.optim.AdamW(judge.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, NUM_STEPS)
    # Every identity as often as every other, however many faces it has.
    weights = 1 / labels.bincount(minlength=len(data.identities))[labels].double()
    judge.train()
    for chosen in torch.multinomial(weights, NUM_STEPS * BATCH_SIZE, replacement=True).split(BATCH_SIZE):
        logits = judge(diff_augment(faces[chosen], augment))
        loss = F.cross_entropy(logits, labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()


def _keep(judge: Judge, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(save(judge.state_dict()))
        Path(file.name).replace(path)
    except OSError:  # a home that cannot be written to: the judge is trained again next time
        return


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wav2pix"
