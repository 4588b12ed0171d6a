"""What a worker is given to run trials: the trainer, what they share, and where to keep what they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestration.folders import SweepFolder
from orchestration.provenance import Code
from orchestration.runs import Target
from orchestration.spec import SweepSpec
from wav2pix.config import TrainConfig

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# What every trial needs; a process that Ray keeps for trials imports it while it waits for one.
PRELOAD = ("orchestration.trial", "orchestration.tracking.mlflow_store")


class Epoch(Protocol):
    """What :class:`wav2pix.train.Epoch` gives."""

    @property
    def number(self) -> int: ...
    @property
    def metrics(self) -> dict[str, float]: ...
    def save(self, folder: Path) -> None: ...
    def pictures(self) -> npt.NDArray[np.uint8]: ...


class Trainer(Protocol):
    """What a trial runs."""

    def fit(self, config: TrainConfig, data: Path, resume: Path | None) -> Iterator[Epoch]:
        """Train on the data set in a folder, from a checkpoint if one is given, yielding after every epoch."""

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write what inference needs of a checkpoint to the folder ``out``."""


class Wav2PixTrainer:
    """The trainer of this project. torch takes seconds to import, so only a trial does it."""

    def fit(self, config: TrainConfig, data: Path, resume: Path | None) -> Iterator[Epoch]:
        """See :class:`Trainer`."""
        from wav2pix.data import open_dataset  # noqa: PLC0415 - imports torch
        from wav2pix.train import fit  # noqa: PLC0415 - imports torch

        yield from fit(config, open_dataset(data), resume)

    def export(self, checkpoint: Path, out: Path) -> None:
        """See :class:`Trainer`."""
        from wav2pix.checkpoint import export_model  # noqa: PLC0415 - imports torch

        export_model(checkpoint, out)


@dataclass(frozen=True)
class Work:
    """All that a worker must know of a sweep to run its trials.

    Attributes:
        data_size: numbers that tell how large the data set is, by name.
    """

    spec: SweepSpec
    data: Path
    data_hash: str
    code: Code
    data_size: Mapping[str, int] = field(default_factory=dict)
    trainer: Trainer = field(default_factory=Wav2PixTrainer)


@dataclass(frozen=True)
class Context:
    """What a worker is given.

    Attributes:
        work: what the trials share.
        folder: of the sweep, seen from every worker.
        target: the runs of the sweep.
        scratch: a folder on the driver's local disk that it removes in the end.
    """

    work: Work
    folder: SweepFolder
    target: Target
    scratch: Path
