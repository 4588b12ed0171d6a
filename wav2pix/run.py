"""A training run in a folder: metrics, pictures and checkpoints, to be stopped and resumed at will."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wav2pix.checkpoint import checkpoint_folder, find_checkpoint
from wav2pix.config import TrainConfig
from wav2pix.data import Dataset
from wav2pix.errors import CheckpointError, Wav2PixError
from wav2pix.files import write_atomically
from wav2pix.pictures import save_picture
from wav2pix.train import Epoch, fit


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run.

    Attributes:
        root: the folder; holds ``metrics.jsonl``, ``pictures/`` and ``checkpoints/``.
    """

    root: Path

    @property
    def metrics(self) -> Path:
        """One line of JSON an epoch."""
        return self.root / "metrics.jsonl"

    def picture(self, epoch: int) -> Path:
        """The grid of held-out faces after an epoch."""
        return self.root / "pictures" / f"epoch-{epoch:04d}.png"

    def newest_checkpoint(self) -> Path | None:
        """The checkpoint that a resumed run starts from."""
        try:
            return find_checkpoint(self.root)
        except CheckpointError:
            return None


def train_in_folder(config: TrainConfig, data: Dataset, root: Path, *, resume: bool) -> Iterator[Epoch]:
    """Train, keeping metrics, a picture and the newest checkpoint of every epoch under ``root``.

    Raises:
        Wav2PixError: there is a run already and ``resume`` is false, or none and it is true.
    """
    folder = RunFolder(root)
    newest = folder.newest_checkpoint()
    if newest is not None and not resume:
        raise Wav2PixError(f"{root}: a run is there already; go on with --resume, or give another --out")
    if newest is None and resume:
        raise Wav2PixError(f"{root}: no checkpoint to resume from; start without --resume")
    if newest is None and root.exists() and any(root.iterdir()) and not folder.metrics.exists():
        raise Wav2PixError(f"{root}: exists and is no run, so it is left alone; give another --out")
    lines = _kept_lines(folder, newest)
    for epoch in fit(config, data, newest):
        here = checkpoint_folder(root, epoch.number)
        epoch.save(here)
        save_picture(folder.picture(epoch.number), epoch.pictures())
        lines.append(json.dumps({"epoch": epoch.number} | epoch.metrics))
        write_atomically(folder.metrics, ("\n".join(lines) + "\n").encode())
        for older in root.glob("checkpoints/epoch-*"):
            if older != here:
                shutil.rmtree(older)
        yield epoch


def _kept_lines(folder: RunFolder, newest: Path | None) -> list[str]:
    """The lines of the epochs that the checkpoint holds: those after it are trained again."""
    if newest is None or not folder.metrics.exists():
        return []
    last = int(newest.name.removeprefix("epoch-"))
    lines = folder.metrics.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if json.loads(line)["epoch"] <= last]
