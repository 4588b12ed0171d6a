"""SLURM's commands, each under a time limit and free of what a surrounding job would tell it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence

from slurm.errors import NoAnswer, SchedulerError
from slurm.secret_names import holds_secret

KILL_WAIT_S = 5
# sbatch and srun take these for options where a job submits another one, and they would win over the script;
# squeue and scancel have theirs. Ray's are of the Ray node that this process belongs to.
FOREIGN = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SCANCEL_", "SUBMITIT_", "RAY_", "PMI", "CUDA_VISIBLE")
KEPT = ("SLURM_CONF",)
# Of "Socket timed out on send/recv operation", "Zero Bytes were transmitted or received" and their like.
LOST = re.compile(r"timed? ?out|zero bytes|connection|communicat|contact|try again", re.IGNORECASE)


def is_foreign(name: str) -> bool:
    """Whether a variable belongs to the job that this process is in."""
    return name not in KEPT and name.startswith(FOREIGN)


def clean_environment() -> dict[str, str]:
    """This process's environment without what its own job put there, and without secrets.

    Jobs find those in a file: see :mod:`slurm.handover`.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not is_foreign(name) and not holds_secret(name, value)
    }


def run_command(arguments: Sequence[str], timeout_s: float, extra: Mapping[str, str] | None = None) -> str:
    """What a command prints.

    Args:
        arguments: name of the command and its arguments; no secret, since all users see them.
        timeout_s: after so long it is killed.
        extra: variables for it.

    Raises:
        SchedulerError: it is not installed, or failed.
        NoAnswer: it did not answer in time, or what it asked did not answer it.
    """
    name = arguments[0]
    try:
        process = subprocess.Popen(  # noqa: S603
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment() | dict(extra or {}),
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C must not cut a command short whose answer counts
        )
    except FileNotFoundError:
        raise SchedulerError(f"no '{name}' here: this is not a SLURM machine; use --cluster local") from None
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"{name} has not answered within {timeout_s:g} s") from None
        finally:
            _end(process)
    if process.returncode:
        kind = NoAnswer if LOST.search(errors) else SchedulerError
        raise kind(f"{name} failed: {errors.strip() or f'exit code {process.returncode}'}")
    return output


def _end(process: subprocess.Popen[str]) -> None:
    """End the command with all that it started, which would keep its output open."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(KILL_WAIT_S)
