"""A trainer that takes no time and does as it is told: for tests that claim nothing about training."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wav2pix.config import TrainConfig
from wav2pix.errors import TrainingDiverged


@dataclass
class StandInEpoch:
    number: int
    metrics: dict[str, float]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"epoch": self.number}))

    def pictures(self) -> npt.NDArray[np.uint8]:
        return np.full((4, 4, 3), self.number, np.uint8)


@dataclass
class StandInTrainer:
    """Epochs whose l1 follows from the settings; some values of the batch size bring disaster.

    ``batch_size`` 13: diverges in epoch 2. 14: raises. 15: its process dies in epoch 2, once. 16: dies always.
    17: its process dies once it is over, when the next trial is given to it.
    """

    seconds: float = 0.0

    def fit(self, config: TrainConfig, data: Path, resume: Path | None) -> Iterator[StandInEpoch]:
        done = json.loads((resume / "model.json").read_text())["epoch"] if resume else 0
        for number in range(done + 1, config.epochs + 1):
            time.sleep(self.seconds)
            if number == 2:
                self._bring_disaster(config.batch_size, data)
            metrics = {"l1": config.batch_size / 100 + 1 / number, "loss_l1": 1.0}
            try:
                yield StandInEpoch(number, metrics)
            except GeneratorExit:
                if config.batch_size == 17:
                    os._exit(1)
                raise

    def export(self, checkpoint: Path, out: Path) -> None:
        out.mkdir(parents=True)
        (out / "model.json").write_text((checkpoint / "model.json").read_text())

    def _bring_disaster(self, batch_size: int, data: Path) -> None:
        if batch_size == 13:
            raise TrainingDiverged(2, "loss_l1", "not a finite number")
        if batch_size == 14:
            raise ValueError("the disk is full")
        if batch_size == 16 or (batch_size == 15 and not (data / "died").exists()):
            (data / "died").touch()
            os._exit(1)
