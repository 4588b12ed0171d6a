"""Models in MLflow: an export made into a model that MLflow loads, its versions, and their aliases."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as version_of
from pathlib import Path

import numpy as np
import yaml

from orchestration.errors import TrackingError
from orchestration.folders import trial_name
from orchestration.tracking.client import Explained

# A download of a few files needs no bar of progress.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow.pyfunc  # isort: skip - after the settings of the client
from mlflow.artifacts import download_artifacts  # isort: skip
from mlflow.entities.model_registry import ModelVersion  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.models import ModelSignature  # isort: skip
from mlflow.tracking import MlflowClient  # isort: skip
from mlflow.types import Schema, TensorSpec  # isort: skip

# MLflow wants an example of the input, with which it would load each model that is saved. Once and for all,
# since a thread that changes the filters for a while changes them for the others, too.
warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)

LOADER = "wav2pix.pyfunc"
# Of a description, in MLflow's database.
MAX_TEXT = 5000
# What MLflow answers when there is no model, version or alias of a name.
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    number: int
    tags: Mapping[str, str]
    source: str


def save_model(export: Path, out: Path) -> None:
    """Make an export into a model that ``mlflow.pyfunc.load_model`` loads where torch is, with its code.

    Args:
        export: folder with ``model.json`` and ``model.safetensors``; all that is in it goes along.
        out: folder to write, which is not there yet.
    """
    import wav2pix  # noqa: PLC0415 - so is the next, which imports torch
    from wav2pix.checkpoint import read_info  # noqa: PLC0415
    from wav2pix.models import window_samples  # noqa: PLC0415
    from wav2pix.pyfunc import REQUIREMENTS  # noqa: PLC0415

    config = read_info(export).config
    speech = TensorSpec(np.dtype(np.float32), (-1, window_samples(config)))
    picture = TensorSpec(np.dtype(np.uint8), (-1, config.image_size, config.image_size, 3))
    mlflow.pyfunc.save_model(
        str(out),
        loader_module=LOADER,
        data_path=str(export),
        code_paths=[str(Path(wav2pix.__file__).parent)],
        signature=ModelSignature(inputs=Schema([speech]), outputs=Schema([picture])),
        # Without the local part of "2.13.0+cpu", which the package index does not know.
        pip_requirements=[f"{name}=={version_of(name).split('+')[0]}" for name in REQUIREMENTS],
    )


class ModelRegistry:
    """The registered models of a tracking store.

    Attributes:
        uri: of the store.

    Raises:
        TrackingError: from every method, when the store cannot be reached or refuses.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def _client(self) -> MlflowClient:
        with Explained(self.uri):
            return MlflowClient(tracking_uri=self.uri)

    def run_of(self, sweep: str, sweep_id: str, trial: int) -> str | None:
        """The run of a trial; None if the store has none."""
        with Explained(self.uri):
            experiment = self._client.get_experiment_by_name(sweep)
            if experiment is None:
                return None
            which = f"tags.`wav2pix.sweep_id` = '{sweep_id}' and tags.`wav2pix.trial` = '{trial_name(trial)}'"
            found = self._client.search_runs([experiment.experiment_id], which, max_results=1)
            return str(found[0].info.run_id) if found else None

    def at(self, name: str, reference: str) -> Version | None:
        """The version with an alias, or, of digits, with a number; None if there is none."""
        with Explained(self.uri):
            try:
                if reference.isdigit():
                    return _version(self._client.get_model_version(name, reference))
                return _version(self._client.get_model_version_by_alias(name, reference))
            except MlflowException as error:
                if error.error_code in NOT_THERE:
                    return None
                raise

    def add(
        self, name: str, run_id: str, folder: Path, path: str, tags: Mapping[str, str], card: str
    ) -> Version:
        """A version made of a folder that :func:`save_model` wrote, kept with a run; the one there if it is.

        Args:
            path: of the folder among the run's artifacts; tells versions of one run apart.
            tags: of the version.
            card: what the version is, in Markdown.
        """
        with Explained(self.uri):
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{path}"
            self._make_name(name)
            for found in self._client.search_model_versions(f"name = '{name}'"):
                if found.source == source and found.status == "READY":
                    return _version(found)
            self._client.log_artifacts(run_id, str(folder), path)
            made = self._client.create_model_version(
                name, source, run_id, tags=dict(tags), description=_shortened(card)
            )
            return _version(made)

    def set_alias(self, name: str, alias: str, version: Version) -> None:
        """Let an alias point to a version, whatever it pointed to."""
        with Explained(self.uri):
            self._client.set_registered_model_alias(name, alias, str(version.number))

    def fetch(self, version: Version, to: Path) -> Path:
        """Download a version to the folder ``to``.

        Returns:
            The exported model in it.

        Raises:
            TrackingError: it is no model of ours.
        """
        try:
            flavor = yaml.safe_load(self._download(version, "MLmodel", to).read_text())["flavors"][
                "python_function"
            ]
            is_ours, data = flavor["loader_module"] == LOADER, str(flavor["data"])
        except (KeyError, TypeError, yaml.YAMLError):
            is_ours = False
        if not is_ours:
            raise TrackingError(f"version {version.number} at {version.source} is no model of wav2pix")
        # Without the code beside it: that is here already, and nothing that was downloaded is run.
        return self._download(version, data, to)

    def _download(self, version: Version, path: str, to: Path) -> Path:
        to.mkdir(parents=True, exist_ok=True)
        with Explained(self.uri):
            return Path(download_artifacts(f"{version.source}/{path}", dst_path=str(to), tracking_uri=self.uri))

    def _make_name(self, name: str) -> None:
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _version(found: ModelVersion) -> Version:
    return Version(int(found.version), dict(found.tags), str(found.source))


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 4].rsplit("\n", 1)[0] + "\n..."
