"""The parent of a local job, which does for it what SLURM's daemon does on a node.

``python -m slurm.keeper FOLDER ID KILL_WAIT_S`` is a session of its own, so that it outlives the shell and its
Ctrl-C. It starts the job's body and ends everything below it, wherever that went: on SIGTERM as scancel would,
on SIGUSR1 to start it again under the same id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil

from slurm.job import Ending
from slurm.local_record import LocalRecord, born, cancel_mark, load_record, with_ending
from slurm.processes import adopt_orphans, end_descendants, end_processes

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD}
# For what the body leaves behind.
REST_S = 2.0
PR_SET_PDEATHSIG = 1


def main(folder: Path, id: str, kill_wait_s: float) -> None:
    """Keep one job until nothing of it is left; ``kill_wait_s`` lie between SIGTERM and SIGKILL."""
    record = load_record(folder, id)
    assert record is not None, "the submitter writes it before it starts a keeper"
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    adopt_orphans()
    record = replace(record, keeper=os.getpid(), born=born(os.getpid()) or "")
    record.save(folder)
    ending: Ending | None = "cancelled" if cancel_mark(folder, id).exists() else None
    while ending is None:
        ending = _run_once(folder, record, kill_wait_s)
        if ending is None and cancel_mark(folder, id).exists():
            ending = "cancelled"
    written = load_record(folder, id) or record
    with_ending(written, ending).save(folder)


def _run_once(folder: Path, record: LocalRecord, kill_wait_s: float) -> Ending | None:
    """How the body ended; None: it is to run again."""
    replace(record, started=time.time()).save(folder)
    with (folder / f"{record.id}_0_log.out").open("ab") as log:
        body = subprocess.Popen(  # noqa: S603
            ["/bin/bash", str(folder / f"{record.id}_submission.sh")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_prepare,  # noqa: PLW1509 - there is one thread here
        )
    heard = _wait(body, kill_wait_s)
    end_descendants(REST_S)
    if heard == signal.SIGUSR1:
        replace(record, started=None).save(folder)
        return None
    if heard is not None:
        return "cancelled"
    return "completed" if body.returncode == 0 else "failed"


def _wait(body: subprocess.Popen[bytes], kill_wait_s: float) -> signal.Signals | None:
    """Wait for the end of the body, after a signal not longer than SLURM would; the signal."""
    heard = None
    while body.poll() is None:
        came = signal.sigtimedwait(SIGNALS, 60)
        if came is not None and came.si_signo != signal.SIGCHLD:
            heard = signal.Signals(came.si_signo)
            # The body alone, as SLURM does where it uses control groups; the rest goes with it.
            end_processes([psutil.Process(body.pid)], kill_wait_s)
    return heard


def _prepare() -> None:
    """In the body: hear signals again, and get SIGTERM should the keeper be killed."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
