"""Where this process is: its job, and the address by which other hosts reach it."""

from __future__ import annotations

import os
import socket

CONNECT_S = 3.0


def job_id() -> str:
    """Of the job that this process is in: SLURM's id, ``123_4`` in an array, or that of a local job."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID") or os.environ["SUBMITIT_LOCAL_JOB_ID"]


def own_address() -> str:
    """The address of this host on the network that SLURM uses; loopback outside of SLURM."""
    if "SLURM_JOB_ID" not in os.environ:
        return "127.0.0.1"
    # srun was started by the batch script, so on this host.
    return os.environ.get("SLURM_LAUNCH_NODE_IPADDR") or socket.gethostbyname(socket.gethostname())


def address_towards(address: str) -> str:
    """This host's address on the way to ``host:port``; nothing is sent."""
    host, port = _parts(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        return str(probe.getsockname()[0])


def answers(address: str) -> bool:
    """Whether something listens at ``host:port``."""
    try:
        with socket.create_connection(_parts(address), timeout=CONNECT_S):
            return True
    except OSError:
        return False


def _parts(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)
