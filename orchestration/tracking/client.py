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
LOGIN = (
    "it asks for another login: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN"
)


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
        code = error.error_code if isinstance(error, MlflowException) else ""
        lines = str(error).splitlines() or [type(error).__name__]
        reason = LOGIN if code == "UNAUTHENTICATED" else lines[0][:MAX_REASON]
        is_final = isinstance(error, FileNotFoundError) or code in FINAL
        where = "'tracking' in the sweep file, or MLFLOW_TRACKING_URI, says where it is"
        text = f"tracking at {self._uri} failed ({where}): {reason}"
        raise (TrackingRefused if is_final else TrackingError)(without_secrets(text)) from error
