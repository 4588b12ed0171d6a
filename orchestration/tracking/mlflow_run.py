"""One run in MLflow, and how entries of a journal become what MLflow shows."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from orchestration.tracking.client import Explained
from orchestration.tracking.journal import (
    Artifact,
    Dataset,
    Entry,
    Metrics,
    Model,
    Params,
    Picture,
    Tags,
)
from wav2pix.errors import Wav2PixError

from mlflow.entities import Dataset as DatasetEntity  # isort: skip - after the settings of the client
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag  # isort: skip
from mlflow.tracking import MlflowClient  # isort: skip

# MLflow's limits: a value's characters, and what one call may hold.
MAX_VALUE = 6000
MAX_METRICS = 800
MAX_TEXTS = 100
# The longer side of the small copy of a picture that MLflow's charts show.
THUMBNAIL = 256


class MlflowRun:
    """One run in MLflow."""

    def __init__(self, client: MlflowClient, run_id: str, uri: str) -> None:
        self._client = client
        self._run_id = run_id
        self._uri = uri

    @property
    def run_id(self) -> str:
        """See :class:`orchestration.runs.Run`."""
        return self._run_id

    def send(self, entries: Sequence[Entry], folder: Path) -> None:
        """See :class:`orchestration.runs.Run`. Metrics that are there with the same time are kept once."""
        with Explained(self._uri):
            self._send_values(entries)
            for entry in entries:
                match entry:
                    case Artifact():
                        self._send_files(folder / entry.file, entry.folder)
                    case Picture():
                        self._send_picture(entry, folder)
                    case Model():
                        self._send_model(folder / entry.file)
                    case Dataset():
                        self._send_dataset(entry)

    def _send_values(self, entries: Sequence[Entry]) -> None:
        """In as few calls as MLflow allows."""
        metrics: list[Metric] = []
        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        for entry in entries:
            match entry:
                case Metrics():
                    metrics += [
                        Metric(name, _finite(value), entry.time_ms, entry.step)
                        for name, value in entry.values.items()
                    ]
                case Params():
                    params = {**entry.values, **params}
                case Tags():
                    tags |= entry.values
        new_params = [Param(key, value[:MAX_VALUE]) for key, value in params.items()]
        new_tags = [RunTag(key, value[:MAX_VALUE]) for key, value in tags.items()]
        while metrics or new_params or new_tags:
            self._client.log_batch(
                self._run_id, metrics[:MAX_METRICS], new_params[:MAX_TEXTS], new_tags[:MAX_TEXTS]
            )
            metrics, new_params = metrics[MAX_METRICS:], new_params[MAX_TEXTS:]
            new_tags = new_tags[MAX_TEXTS:]

    def _send_files(self, source: Path, folder: str) -> None:
        log = self._client.log_artifacts if source.is_dir() else self._client.log_artifact
        log(self._run_id, str(source), folder or None)

    def _send_picture(self, entry: Picture, folder: Path) -> None:
        """As ``MlflowClient.log_image`` does, under a name that is the same when it is sent again."""
        same = uuid.uuid5(uuid.NAMESPACE_URL, f"{self._run_id}/{entry.key}/{entry.step}")
        name = f"{entry.key}+step+{entry.step}+timestamp+{entry.time_ms}+{same}"
        with tempfile.TemporaryDirectory(prefix="wav2pix-") as temporary:
            shutil.copyfile(folder / entry.file, Path(temporary) / f"{name}.png")
            with Image.open(folder / entry.file) as image:
                image.thumbnail((THUMBNAIL, THUMBNAIL))
                image.save(Path(temporary) / f"{name}+compressed.webp")
            self._client.log_artifacts(self._run_id, temporary, "images")
        self._client.set_tag(self._run_id, "mlflow.loggedImages", "true")

    def _send_model(self, source: Path) -> None:
        """As MLflow loads it; what another trainer calls a model is kept as it is."""
        from orchestration.tracking.models import save_model  # noqa: PLC0415 - imports torch

        with tempfile.TemporaryDirectory(prefix="wav2pix-") as temporary:
            model = Path(temporary) / "model"
            try:
                save_model(source, model)
            except Wav2PixError:
                model = source
            self._client.log_artifacts(self._run_id, str(model), "model")

    def _send_dataset(self, entry: Dataset) -> None:
        source, profile = json.dumps({"uri": entry.source}), json.dumps(entry.profile)
        dataset = DatasetEntity(entry.name, entry.digest, "local", source, profile=profile)
        tags = [InputTag("mlflow.data.context", entry.context)]
        self._client.log_inputs(self._run_id, [DatasetInput(dataset, tags)])


def _finite(value: float) -> float:
    """MLflow would make infinity a large number."""
    return value if math.isfinite(value) else math.nan
