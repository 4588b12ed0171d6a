"""A sweep that is over, made in a second: untrained models, chosen values, its runs in a tracking store."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from orchestration.driver import Result, read_sweep
from orchestration.folders import Storage, checkpoint_key
from orchestration.identity import claim
from orchestration.records import Progress, TrialRecord
from orchestration.runs import tracking_target
from orchestration.snapshot import Snapshot
from orchestration.spec import SweepSpec
from orchestration.storage import open_store, push
from orchestration.tracking.mlflow_store import MlflowTracker
from wav2pix.checkpoint import ModelInfo, write_model
from wav2pix.config import make_config
from wav2pix.models import Wav2Pix

SETTINGS = {
    "encoder.channels": [8, 8, 16, 16],
    "generator.channels": [32, 16, 16, 8, 8],
    "discriminator.channels": [8, 16, 16, 16],
}
DATA_HASH = "a" * 64
EPOCH = 2


def finished_sweep(
    storage: Path,
    values: Sequence[Sequence[float]],
    *,
    name: str = "tiny",
    metrics: Sequence[str] = ("l1",),
    uri: str | None = None,
    data_hash: str = DATA_HASH,
    tracked: bool = True,
    artifacts: dict[str, str] | None = None,
) -> Result:
    """A sweep whose trials have these values of the metrics, all to be minimised, each by its second epoch.

    Args:
        artifacts: of the sweep file; checkpoints are sent there.
    """
    spec = SweepSpec.model_validate(
        {
            "name": name,
            "data": "data",
            "preset": "small",
            "settings": SETTINGS,
            "search": {"optimizer.lr_generator": {"type": "log_uniform", "low": 1e-5, "high": 1e-2}},
            "objectives": [{"metric": metric, "direction": "minimize"} for metric in metrics],
            "trials": len(values),
            "epochs": 4,
            "storage": str(storage),
            "tracking": {"uri": uri},
            "artifacts": artifacts,
        }
    )
    folder = Storage(storage).sweep(name)
    folder.make()
    record = claim(folder, spec, data_hash, uri)
    trials = [_trial(number, found, metrics) for number, found in enumerate(values)]
    Snapshot(trials, 0, time.time()).save(folder.snapshot)
    store = open_store(folder, spec.artifacts, record.sweep_id)
    for number in range(len(values)):
        with tempfile.TemporaryDirectory() as temporary:
            store.put(checkpoint_key(number, EPOCH), _checkpoint(Path(temporary) / "epoch", number))
    assert not push(folder, spec.artifacts, record.sweep_id).problems
    if tracked:
        tracker = MlflowTracker(tracking_target(uri, Storage(storage), name, record.sweep_id))
        for trial in [None, *range(len(values))]:
            tracker.open(trial)
            tracker.close(trial, "complete")
    return read_sweep(folder)


def _trial(number: int, values: Sequence[float], metrics: Sequence[str]) -> TrialRecord:
    measured = dict(zip(metrics, values, strict=True))
    progress = Progress(4, EPOCH, tuple(values), measured, {"": 1.0})
    return TrialRecord(number, "complete", {"optimizer.lr_generator": 1e-3 * (number + 1)}, progress)


def _checkpoint(folder: Path, number: int) -> Path:
    """What a trial keeps of an epoch; each trial's model is another."""
    torch.manual_seed(number)
    config = make_config("small", SETTINGS)
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    write_model(
        checkpoint, Wav2Pix(config, ("ann", "bob")), ModelInfo(config, ("ann", "bob"), DATA_HASH, EPOCH, {})
    )
    Image.new("RGB", (8, 8)).save(folder / "pictures.png")
    (folder / "trial.json").write_text(json.dumps({"params": {}, "code": "0" * 12, "history": []}))
    return folder
