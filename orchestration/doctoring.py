"""The doctor of a site with what sweeps need besides: tracking and storage, as a compute node reaches them."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlsplit

from orchestration.embedded import database_of
from orchestration.folders import Storage
from orchestration.frozen import freeze
from orchestration.runs import tracking_uri
from slurm import doctor
from slurm.errors import SlurmError
from slurm.profile import LocalProfile, SlurmProfile
from slurm.report import Finding, Probe
from slurm.site import said

TIMEOUT_S = 10.0
# Of databases that MLflow can keep its runs in.
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
LOOPBACK = ("localhost", "127.", "::1")
SERVER_CURE = "start the server, or mend --tracking, 'tracking' in the sweep file or MLFLOW_TRACKING_URI"
LOOPBACK_CURE = "for a node that is the node itself: name the server by an address that all nodes reach"
LOGIN_CURE = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, when submitting"
)
FREE_GIB = 5.0
TRIED_BYTES = 1024**2


def examine(
    profile: SlurmProfile | LocalProfile,
    storage: Path,
    tracking: str | None,
    wait_s: float,
    say: Callable[[str], None],
) -> Iterator[Finding]:
    """Look at a site as a sweep of this storage and tracking would use it; see :func:`slurm.doctor.examine`.

    Args:
        tracking: where runs are tracked; None: where the environment of jobs says, else in the storage.
    """
    uri = tracking_uri(tracking or profile.environment.get("MLFLOW_TRACKING_URI"))
    extra = (
        Probe(
            "tracking", partial(look_at_tracking, uri or f"sqlite:///{Storage(storage.absolute()).database}")
        ),
        Probe("storage", partial(look_at_storage, storage.absolute())),
    )
    with ExitStack() as stack:
        try:
            room = stack.enter_context(doctor.open_room(storage))
        except SlurmError as error:
            yield said("storage", error)
            return
        code = freeze(room.cluster.code).path
        yield from doctor.examine(doctor.Plan(profile, room, code, extra, wait_s), say)


def look_at_storage(storage: Path) -> Finding:
    """Whether trials can leave their checkpoints there."""
    error = _write_error(storage)
    if error:
        cure = "give yourself the right, free space or quota, or choose another --storage"
        return Finding("failure", "storage", f"{storage} cannot be written: {error}", cure)
    free_gib = shutil.disk_usage(storage).free / 1024**3
    detail = f"{storage} can be written, {free_gib:.0f} GiB are free"
    if free_gib < FREE_GIB:
        return Finding("warning", "storage", detail, "free space, or choose another --storage")
    return Finding("ok", "storage", detail)


def look_at_tracking(uri: str) -> Finding:
    """Whether trials can reach their tracking store."""
    parts = urlsplit(uri)
    kind = parts.scheme.split("+")[0]
    if kind in ("http", "https"):
        return _look_at_server(parts)
    if kind in PORTS:
        return _look_at_database(parts, PORTS[kind])
    if kind in ("sqlite", "file", ""):
        file = database_of(uri)
        return _look_at_folder(file.parent if file else Path(parts.path))
    return Finding("warning", "tracking", f"nothing is known of '{parts.scheme}:', so it was not looked at")


def _look_at_server(parts: SplitResult) -> Finding:
    """Ask an MLflow server for its health, which it tells without a login."""
    shown, started = _shown(parts), time.monotonic()
    request = urllib.request.Request(f"{shown.rstrip('/')}/health")  # noqa: S310 - http or https
    user, _, _ = parts.netloc.rpartition("@")
    if user:
        request.add_header("Authorization", f"Basic {b64encode(unquote(user).encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            content = answer.read(64)
    except HTTPError as error:
        if error.code in (401, 403):
            return Finding("warning", "tracking", f"{shown} asks for a login ({error.code})", LOGIN_CURE)
        detail = f"{shown} answers /health with {error.code} {error.reason}"
        if error.code >= 500:
            return Finding("failure", "tracking", detail, SERVER_CURE)
        return Finding("warning", "tracking", detail, "is that MLflow's address?")
    except (OSError, HTTPException, ValueError) as error:
        return _unreachable(shown, parts, getattr(error, "reason", error))
    if content.strip() != b"OK":
        cure = "is that MLflow's address? A proxy may ask for a login there"
        return Finding("warning", "tracking", f"{shown} answers, but not as MLflow does", cure)
    return Finding("ok", "tracking", f"{shown} answers in {time.monotonic() - started:.2f} s")


def _look_at_database(parts: SplitResult, port: int) -> Finding:
    shown = _shown(parts)
    try:
        with socket.create_connection((parts.hostname or "localhost", parts.port or port), timeout=TIMEOUT_S):
            return Finding("ok", "tracking", f"something listens at {shown}; no login was tried")
    except (OSError, ValueError) as error:
        return _unreachable(shown, parts, error)


def _look_at_folder(folder: Path) -> Finding:
    error = _write_error(folder)
    if error:
        cure = "nodes have to write there: use a folder that all of them share, or a server"
        return Finding("failure", "tracking", f"{folder} cannot be written: {error}", cure)
    return Finding("ok", "tracking", f"{folder} can be written")


def _unreachable(shown: str, parts: SplitResult, error: object) -> Finding:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    is_loopback = (parts.hostname or "").startswith(LOOPBACK)
    cure = LOOPBACK_CURE if is_loopback else SERVER_CURE
    return Finding("failure", "tracking", f"{shown} cannot be reached from a node: {words}", cure)


def _shown(parts: SplitResult) -> str:
    """The address without user, password and parameters."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _write_error(folder: Path) -> str:
    """Why a file cannot be written there, if so."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(TRIED_BYTES))
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ""
