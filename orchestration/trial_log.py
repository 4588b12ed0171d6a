"""What a trial says of itself, in a file that every process that works on it appends to."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slurm.hosts import job_id

SILENT = logging.Logger("silent", logging.CRITICAL + 1)


@contextmanager
def trial_log(path: Path) -> Iterator[logging.Logger]:
    """A logger that appends to ``path``; times are UTC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.Logger(path.parent.name, logging.INFO)
    handler = logging.FileHandler(path, encoding="utf-8")
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        handler.close()


def this_place() -> str:
    """Where this process runs."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return (
        f"host {socket.gethostname()}, process {os.getpid()}, job {this_job() or 'none'}, "
        f"CUDA_VISIBLE_DEVICES={devices}"
    )


def this_job() -> str:
    """The id of the job that this process is in; nothing if it is in none."""
    try:
        return job_id()
    except KeyError:
        return ""


def epoch_line(epoch: int, epochs: int, metrics: Mapping[str, float], goals: list[str], seconds: float) -> str:
    """An epoch: the objectives, the losses, and how long it took."""
    shown = [name for name in metrics if name in goals] + [
        name for name in metrics if name.startswith("loss_") and name not in goals
    ]
    values = ", ".join(f"{name} {metrics[name]:.4g}" for name in shown)
    return f"epoch {epoch} of {epochs}: {values}, {seconds:.1f} s"
