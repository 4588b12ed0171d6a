"""The body of a worker job: one Ray node for as long as the job lasts.

It joins whatever head the sweep has. When SLURM says that the job is about to end, or the autoscaler no longer
wants it, the node is drained and everything that it started is ended; when the head moves, it follows.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from slurm import handover, processes
from slurm.errors import SlurmError
from slurm.folder import Cluster, ClusterFolder, Head, Life
from slurm.hosts import address_towards, answers, job_id
from slurm.leaving import NODE_VARIABLE, announce_leaving
from slurm.profile import CommonProfile
from slurm.ray_node import WORKER, NodeShape, RayNode, start_node
from slurm.scratch import private_folder

POLL_S = 1.0
# How long ending processes may take once nothing is to be saved any more.
GRACE_S = 1.0
# Kept back of the time before SLURM kills a job, for ending processes and tidying up.
RESERVE_S = 3.0


def run(root: Path) -> None:
    """Be a worker of the sweep whose cluster folder is ``root``; what a worker job calls.

    Raises:
        SlurmError: Ray could not be started here.
    """
    folder = ClusterFolder(root)
    cluster = Cluster.load(folder)
    ending = _Ending(cluster.profile)
    life = Life(folder.life(job_id()), job=job_id(), host=socket.gethostname(), started=time.time())
    life.devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    life.save()
    processes.adopt_orphans()
    try:
        handover.take_over(cluster, folder)
        with private_folder(cluster.profile.scratch) as scratch:
            try:
                life.why = _serve(cluster, folder, scratch, ending, life)
            finally:
                processes.end_descendants(GRACE_S)
    except SlurmError as error:
        life.why = str(error)
        raise
    finally:
        life.left = time.time()
        life.save()


class _Ending:
    """Hears SLURM's signals: SIGUSR2 ahead of the walltime, SIGTERM on preemption and scancel.

    Attributes:
        why: in words.
        left_s: how long SLURM then waits before it kills.
    """

    def __init__(self, profile: CommonProfile) -> None:
        self.why = ""
        self.left_s = 0.0
        self._profile = profile
        self._came = threading.Event()
        for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def wait(self, timeout_s: float) -> bool:
        """Whether a signal has come, at the latest after ``timeout_s``."""
        return self._came.wait(timeout_s)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self._came.is_set():
            is_early = number == signal.SIGUSR2
            self.why = "its walltime" if is_early else "released, cancelled or preempted"
            self.left_s = self._profile.drain_s if is_early else self._profile.kill_wait_s
        self._came.set()


def _serve(cluster: Cluster, folder: ClusterFolder, scratch: Path, ending: _Ending, life: Life) -> str:
    """Join one head after the other; why there is no next one."""
    past: Head | None = None
    number = 0
    while True:
        head = _next_head(folder, past, cluster.profile.head_wait_s, ending)
        if head is None:
            return ending.why or "no controller came back"
        number += 1
        own = scratch / str(number)
        own.mkdir(mode=0o700)
        is_over = partial(_is_over, folder, head, ending)
        node = start_node(_shape(cluster, folder, head, own), own, ["--address", head.address], is_over)
        past = head
        if node is None:
            continue
        life.joined = life.joined or time.time()
        life.save()
        if _watch(node, folder, head, ending):
            _leave(node, own, ending.left_s, partial(_has_head, folder, head))
            return ending.why
        node.end(GRACE_S)
        if folder.head_now() == head and answers(head.address):
            return "drained by the autoscaler, or taken for dead"


def _next_head(folder: ClusterFolder, past: Head | None, wait_s: float, ending: _Ending) -> Head | None:
    """The head to join: another one than ``past``; None: none came in time, or this job must end."""
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        head = folder.head_now()
        if head is not None and head != past:
            return head
        if ending.wait(POLL_S):
            return None
    return None


def _shape(cluster: Cluster, folder: ClusterFolder, head: Head, own: Path) -> NodeShape:
    profile = cluster.profile
    return NodeShape(
        instance=job_id(),
        kind=WORKER,
        address=address_towards(head.address),
        cpus=profile.worker.cpus,
        gpus=profile.worker.gpus,
        memory_bytes=int(profile.worker.memory_gb * 1024**3),
        token=folder.token,
        ports=profile.ports,
        environment={
            NODE_VARIABLE: str(own),
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(profile.drain_s),
            "RAY_preload_python_modules": ",".join(cluster.preload),
        },
    )


def _watch(node: RayNode, folder: ClusterFolder, head: Head, ending: _Ending) -> bool:
    """Wait for the end of the job, of the node or of the head; whether it is the job's."""
    while not ending.wait(POLL_S):
        if not node.is_alive or folder.head_now() != head:
            return False
    return True


def _is_over(folder: ClusterFolder, head: Head, ending: _Ending) -> bool:
    """Whether there is no point in joining this head any more."""
    return ending.wait(0) or not _has_head(folder, head)


def _has_head(folder: ClusterFolder, head: Head) -> bool:
    return folder.head_now() == head


def _leave(node: RayNode, own: Path, left_s: float, has_head: Callable[[], bool]) -> None:
    """Let trials move away, as long as SLURM leaves time for it."""
    announce_leaving(own)
    deadline = time.monotonic() + left_s - RESERVE_S
    # Draining means telling the head, and waits for its answer.
    if has_head():
        node.drain()
    while has_head() and node.is_alive and time.monotonic() < deadline:
        time.sleep(POLL_S / 10)
    node.end(GRACE_S)
