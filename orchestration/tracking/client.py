"""MLflow's client, set up before it is imported. Whoever in this package imports mlflow imports this first."""

from __future__ import annotations

import os

# No reports home, no banners; trying again is the sender's business.
for _name, _setting in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_name, _setting)

from mlflow.exceptions import MlflowException  # noqa: E402 - reads the settings above

from orchestration.errors import TrackingError, TrackingRefused  # noqa: E402
from orchestration.secrets import without_secrets  # noqa: E402

MAX_REASON = 200
# Errors that asking again does not mend.
FINAL = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST")


class Explained:
    """Turns whatever a store raises into a :class:`TrackingError` that names the store."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # Its clients, and those of the object store behind it, have exceptions of many families.
        if not isinstance(error, Exception) or isinstance(error, TrackingError):
            return
        lines = str(error).splitlines() or [type(error).__name__]
        is_final = isinstance(error, FileNotFoundError) or (
            isinstance(error, MlflowException) and error.error_code in FINAL
        )
        where = "'tracking' in the sweep file, or MLFLOW_TRACKING_URI, says where it is"
        text = f"tracking at {self._uri} failed ({where}): {lines[0][:MAX_REASON]}"
        raise (TrackingRefused if is_final else TrackingError)(without_secrets(text)) from error
