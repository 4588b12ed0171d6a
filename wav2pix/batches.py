"""Batches of pairs from a prepared data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wav2pix.config import TrainConfig
from wav2pix.data import Dataset
from wav2pix.errors import DataError
from wav2pix.models import SAMPLE_RATE_HZ, window_samples
from wav2pix.speakers import class_of_identity, learned_identities


@dataclass(frozen=True)
class Batch:
    """Pairs of speech and face, and for each a real face of somebody else.

    Attributes:
        speech: (B, T) int16.
        faces: (B, 3, S, S) float32 in [-1, 1].
        wrong_faces: (B, 3, S, S) likewise, each of another identity than its row.
        identities: (B,) int64, classes of the model: places in :func:`~wav2pix.speakers.learned_identities`.
    """

    speech: Tensor
    faces: Tensor
    wrong_faces: Tensor
    identities: Tensor


class PairLoader:
    """The training pairs, shuffled anew each epoch; an incomplete last batch is left out.

    No pair of a speaker that is held out is among them, nor does one serve as a wrong face.

    Raises:
        DataError: the data set does not suit the configuration.
        ConfigError: as :func:`~wav2pix.speakers.learned_identities`.
    """

    def __init__(self, config: TrainConfig, data: Dataset, device: torch.device) -> None:
        check_data(config, data)
        self._config = config
        self._data = data
        self._device = device
        self._class_of = class_of_identity(learned_identities(config, data), data)
        rows = data.indices("train")
        self._rows = rows[self._class_of[data.identity[rows]] >= 0]
        self._window = window_samples(config)
        self._swap = config.augment.speech_swap if config.augment else 0.0
        of = data.identity[self._rows]
        self._rows_of = [self._rows[of == identity] for identity in range(len(data.identities))]
        self._rows_of_others = [self._rows[of != identity] for identity in range(len(data.identities))]
        num_identities = len(np.unique(data.identity[self._rows]))
        if num_identities < 2:
            raise DataError(f"{data.root}: needs training pairs of two identities; there is {num_identities}")
        if len(self._rows) < config.batch_size:
            raise DataError(
                f"{data.root}: {len(self._rows)} training pairs do not fill a batch of {config.batch_size}; "
                "lower batch_size"
            )

    @property
    def num_pairs(self) -> int:
        """Pairs seen in an epoch."""
        return len(self._rows) // self._config.batch_size * self._config.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Every pair at most once, in an order drawn from ``rng``."""
        order = rng.permutation(self._rows)[: self.num_pairs]
        for rows in order.reshape(-1, self._config.batch_size):
            yield self._batch(rows, rng)

    def _batch(self, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        data = self._data
        slack = data.speech.shape[1] - self._window
        starts = rng.integers(0, slack + 1, size=len(rows))
        heard = np.where(rng.random(len(rows)) < self._swap, self._draw(self._rows_of, rows, rng), rows)
        windows = [
            data.speech[row, start : start + self._window] for row, start in zip(heard, starts, strict=True)
        ]
        wrong = self._draw(self._rows_of_others, rows, rng)
        return Batch(
            speech=torch.from_numpy(np.stack(windows)).to(self._device),
            faces=faces_to_tensor(data.faces[data.face[rows]]).to(self._device),
            wrong_faces=faces_to_tensor(data.faces[data.face[wrong]]).to(self._device),
            identities=torch.from_numpy(self._class_of[data.identity[rows]]).to(self._device),
        )

    def _draw(
        self, pools: list[npt.NDArray[np.int64]], rows: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """A row at random for each of ``rows``, from the pool of its identity."""
        return np.array([rng.choice(pools[identity]) for identity in self._data.identity[rows]])


def check_data(config: TrainConfig, data: Dataset) -> None:
    """Raise DataError unless the data set has the sample rate, size and length that the model needs."""
    if data.sample_rate_hz != SAMPLE_RATE_HZ:
        raise DataError(f"{data.root}: speech at {data.sample_rate_hz} Hz; the model needs {SAMPLE_RATE_HZ} Hz")
    if data.image_size != config.image_size:
        raise DataError(
            f"{data.root}: faces of {data.image_size} px; the model draws {config.image_size} px "
            f"(--set image_size={data.image_size}, or import the data again)"
        )
    have_s = data.speech.shape[1] / SAMPLE_RATE_HZ
    if have_s < config.speech_window_s:
        raise DataError(
            f"{data.root}: windows of {have_s:.2f} s of speech; the model needs {config.speech_window_s} s "
            f"(--set speech_window_s={have_s:.2f})"
        )


def centre_windows(data: Dataset, rows: npt.NDArray[np.int64], samples: int) -> npt.NDArray[np.int16]:
    """(len(rows), samples): the middle of each window of speech."""
    start = (data.speech.shape[1] - samples) // 2
    windows: npt.NDArray[np.int16] = data.speech[rows, start : start + samples]
    return windows


def faces_to_tensor(faces: npt.NDArray[np.uint8]) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 in [-1, 1]."""
    return torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1


def tensor_to_faces(faces: Tensor) -> npt.NDArray[np.uint8]:
    """(B, 3, S, S) in [-1, 1] to (B, S, S, 3) uint8."""
    pixels = ((faces.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
