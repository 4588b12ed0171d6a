"""What a person or a lab says once for all sweeps: ``~/.config/wav2pix/defaults.yaml``.

    tracking: {uri: https://mlflow.lab.example}
    artifacts: {uri: s3://bucket/sweeps, endpoint: https://s3.lab.example}

A sweep file comes before it, and so does the environment. It holds no credentials: MLflow's and boto3's clients
find theirs where they always do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from orchestration.errors import SweepError
from orchestration.yaml_model import FileKind


class Defaults(BaseModel):
    """The file, parsed.

    Attributes:
        tracking: as the block of that name in a sweep file; so is the next.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracking: dict[str, Any] = {}
    artifacts: dict[str, Any] = {}


FILE = FileKind(
    form=Defaults, parser=TypeAdapter(Defaults), failure=SweepError, example="tracking: {uri: https://...}"
)


def load_defaults() -> Defaults:
    """What the file says; nothing where there is none.

    Raises:
        SweepError: one line for each thing that is wrong with it.
    """
    path = defaults_file()
    return FILE.read(path)[1] if path.is_file() else Defaults()


def defaults_file() -> Path:
    """Where it is."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "wav2pix" / "defaults.yaml"
