"""The body of a controller job: the head of the sweep's Ray cluster, and the work that is handed to it.

The work is a callable that is given a :class:`Head` and a :class:`Stop`; it returns whether it is complete.
When SLURM is about to end the job before that, the work is asked to stop, and the job is put back into the
queue.

Nothing here imports ray: the work does, once it has said how to reach the head.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from slurm import handover, processes
from slurm.errors import NoAnswer, SchedulerError
from slurm.folder import Cluster, ClusterFolder, Head
from slurm.hosts import job_id, own_address
from slurm.jobs import open_jobs, open_polled_jobs
from slurm.ray_node import HEAD, WORKER, NodeShape, RayNode, start_node
from slurm.scratch import private_folder

# The autoscaler gives up on a node that does not join; a job may wait in the queue for weeks.
QUEUE_S = 30 * 24 * 3600
HEAD_MEMORY_BYTES = 1024**3
GRACE_S = 3.0
POLL_S = 1.0
# A head that ended so soon would do so again.
SHORT_LIFE_S = 120.0
REQUEUE_TRIES = 3
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
)


class Stop(threading.Event):
    """Set when the work has to stop: SLURM ends the job, or somebody cancelled it.

    Attributes:
        walltime: the job is at its limit, so that it must put itself back into the queue; a preempted one is
            put there by SLURM, a cancelled one by nobody.
    """

    walltime = False


# What a controller runs: complete, or to be gone on with in the next job.
Work = Callable[[Head, Stop], bool]


def run(root: Path, work: Work) -> None:
    """Be the controller of the sweep whose cluster folder is ``root``; what a controller job calls.

    Raises:
        SlurmError: Ray could not be started here.
    """
    folder = ClusterFolder(root)
    cluster = Cluster.load(folder)
    handover.take_over(cluster, folder)
    stop = _listen()
    processes.adopt_orphans()
    folder.forget_problem()
    with private_folder(cluster.profile.scratch) as scratch:
        try:
            is_complete = _lead(cluster, folder, scratch, work, stop)
        finally:
            folder.forget_head(job_id())
            processes.end_descendants(GRACE_S)
    if is_complete:
        handover.forget(folder)
    elif stop.walltime:
        _come_back(cluster, folder, work)


def _lead(cluster: Cluster, folder: ClusterFolder, scratch: Path, work: Work, stop: Stop) -> bool:
    node = _start_head(cluster, folder, scratch, stop)
    if node is None:
        return False
    head = Head(address=node.address, job=job_id(), since=time.time())
    folder.announce(head)
    done = threading.Event()
    threading.Thread(target=_watch_head, args=(node, done, cluster, folder, work), daemon=True).start()
    is_complete = False
    try:
        is_complete = work(head, stop)
    finally:
        done.set()
        # Complete, or failed for good: in both cases nobody comes back for them.
        if is_complete or not stop.is_set():
            _release_workers(cluster, folder)
        # From now on workers wait for the next head, and the autoscaler of this one ends none of them.
        folder.forget_head(head.job)
        node.end(GRACE_S)
        _keep_log(scratch, folder, head.job)
    return is_complete


def _keep_log(scratch: Path, folder: ClusterFolder, job: str) -> None:
    """What the autoscaler decided, for whoever wonders why."""
    for log in scratch.glob("h/session_latest/logs/monitor.log"):
        shutil.copyfile(log, folder.jobs / f"{job}_autoscaler.log")


def _watch_head(
    node: RayNode, done: threading.Event, cluster: Cluster, folder: ClusterFolder, work: Work
) -> None:
    """Should the head die, start over: Ray would end this process a minute later and say nothing."""
    started = time.monotonic()
    while not done.wait(POLL_S):
        if node.is_alive:
            continue
        folder.forget_head(job_id())
        processes.end_descendants(GRACE_S)
        if time.monotonic() - started < SHORT_LIFE_S:
            folder.give_up(f"Ray's head ended by itself; see the log of job {job_id()}")
            _release_workers(cluster, folder)
        else:
            _come_back(cluster, folder, work)
        os._exit(1)


def _start_head(cluster: Cluster, folder: ClusterFolder, scratch: Path, stop: Stop) -> RayNode | None:
    own = scratch / "h"
    own.mkdir(mode=0o700)
    config = own / "autoscaling.json"
    config.write_text(json.dumps(autoscaling_config(cluster, folder)))
    shape = NodeShape(
        instance=HEAD,
        kind=HEAD,
        address=own_address(),
        cpus=0,
        gpus=0,
        memory_bytes=HEAD_MEMORY_BYTES,
        token=folder.token,
        ports=cluster.profile.ports,
        environment={
            "RAY_enable_autoscaler_v2": "1",
            "RAY_AUTOSCALER_RECONCILE_ALLOCATE_STATUS_TIMEOUT_S": str(QUEUE_S),
            "AUTOSCALER_MAX_CONCURRENT_LAUNCHES": str(cluster.profile.most_workers),
            "AUTOSCALER_MAX_LAUNCH_BATCH": str(cluster.profile.most_workers),
            "AUTOSCALER_UPDATE_INTERVAL_S": "2",
            "RAY_AUTOSCALER_PENDING_NODE_IDLE_TIMEOUT_S": str(int(cluster.profile.idle_timeout_s)),
        },
    )
    where = ["--head", "--include-dashboard=false", f"--autoscaling-config={config}"]
    return start_node(shape, own, where, stop.is_set)


def autoscaling_config(cluster: Cluster, folder: ClusterFolder) -> dict[str, object]:
    """What Ray's autoscaler is told: one type of worker, so many at most, from :class:`WorkerProvider`."""
    profile = cluster.profile
    resources = {"CPU": profile.worker.cpus, "GPU": profile.worker.gpus}
    return {
        "cluster_name": cluster.name,
        "max_workers": profile.most_workers,
        # As many at once as trials wait for; the queue is SLURM's.
        "upscaling_speed": profile.most_workers,
        "idle_timeout_minutes": profile.idle_timeout_s / 60,
        "provider": {
            "type": "external",
            "module": "slurm.provider.WorkerProvider",
            "root": str(folder.root),
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            WORKER: {
                "resources": {name: amount for name, amount in resources.items() if amount},
                "node_config": {},
                "min_workers": profile.workers.min,
                "max_workers": profile.most_workers,
            },
        },
        # The autoscaler insists on all that it would need to log in to nodes and start Ray there; nobody does.
        **{key: {} for key in ("auth", "file_mounts")},
        **{key: [] for key in COMMANDS},
    }


def _listen() -> Stop:
    """SIGUSR2 comes ahead of the walltime, SIGTERM on preemption and scancel."""
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        stop.walltime = stop.walltime or number == signal.SIGUSR2
        stop.set()

    for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return stop


def _release_workers(cluster: Cluster, folder: ClusterFolder) -> None:
    """Nothing is left to do: end the jobs that still wait or idle."""
    jobs = open_polled_jobs(cluster, folder)
    try:
        ids = [job.id for job in jobs.latest() if job.kind == "worker" and job.state in ("pending", "running")]
        jobs.cancel(ids)
    except SchedulerError:
        # They find no head, and end by themselves after `head_wait_s`.
        return


def _come_back(cluster: Cluster, folder: ClusterFolder, work: Work) -> None:
    """Into the queue again; where a site forbids that to jobs, as a new job.

    Raises:
        SchedulerError: neither; submitting the sweep again goes on with it.
    """
    jobs = open_jobs(cluster, folder)
    for _ in range(REQUEUE_TRIES):
        try:
            jobs.requeue(job_id())
        except NoAnswer:
            # It may have been done all the same: a second controller would be in the way of the first.
            time.sleep(POLL_S)
        except SchedulerError:
            jobs.submit("controller", partial(run, folder.root, work))
            return
        else:
            return
