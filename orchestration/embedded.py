"""The tracking store that needs no server: an SQLite file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from orchestration.errors import TrackingError
from orchestration.sqlite import DEADLINE_S, make_whole


def database_of(uri: str) -> Path | None:
    """The file of an SQLite store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def make_database(uri: str) -> None:
    """Make the file of an SQLite store if it is not there; trials and other sweeps wait until it is.

    Raises:
        TrackingError: it cannot be made.
    """
    database = database_of(uri)
    if database is None or database.exists():
        return
    try:
        make_whole(database, _make)
    except OSError as error:
        raise TrackingError(f"tracking at {uri} failed: {error}") from error


def _make(database: Path) -> None:
    """In a process of its own: it takes seconds of computing, and this one has Ray to start."""
    code = "import sys, mlflow; mlflow.MlflowClient(sys.argv[1]).search_experiments(max_results=1)"
    try:
        done = subprocess.run(  # noqa: S603 - a constant command
            [sys.executable, "-c", code, f"sqlite:///{database}"],
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TrackingError(f"making {database} took longer than {DEADLINE_S:.0f} s") from None
    if done.returncode or not database.exists():
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise TrackingError(f"{database} cannot be made: {' '.join(last)}")
