"""The processes below this one, wherever they went: found, and ended by their own ids.

``ray stop`` ends every Ray process of the user on the host, a neighbour's too; this ends a tree.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import psutil

PR_SET_CHILD_SUBREAPER = 36
# The module that a local job is started with.
JOB_KEEPER = "slurm.keeper"


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends (Linux, prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """Every process below ``pid``, or below this one, but for other jobs that were started from here."""
    found: list[psutil.Process] = []
    try:
        waiting = [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []
    while waiting:
        try:
            children = waiting.pop().children()
        except psutil.NoSuchProcess:
            continue
        own = [child for child in children if not _is_other_job(child)]
        found += own
        waiting += own
    return found


def end_processes(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Ask processes to end, and kill those that still live after ``grace_s``."""
    _signal_all(processes, psutil.Process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    _signal_all(alive, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=10)


def end_descendants(grace_s: float) -> None:
    """End every process below this one, those too that are started meanwhile."""
    end_processes(descendants(), grace_s)
    for _ in range(10):
        rest = descendants()
        if not rest:
            return
        end_processes(rest, 0.1)


def is_alive(pid: int) -> bool:
    """Whether a process lives; one that only waits to be asked for its exit code does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal_all(processes: Sequence[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        try:
            send(process)
        except psutil.NoSuchProcess:
            continue


def _is_other_job(process: psutil.Process) -> bool:
    """A local job is a child of whoever submitted it, and outlives it."""
    try:
        return JOB_KEEPER in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
