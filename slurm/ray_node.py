"""One Ray node on this host: `ray start` as a child process, with ports, folder and token of its own."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from slurm import processes
from slurm.errors import SlurmError
from slurm.profile import Ports

# The types of nodes that the autoscaler knows.
HEAD = "head"
WORKER = "worker"
# Ray gives its own processes 30 s to start; several nodes that start on one host at once can miss that.
START_S = 120.0
TRIES = 4
POLL_S = 0.2
# Of Ray's own processes on a node, the last for the autoscaler's measures; trials need some more.
NUM_PORTS = 8
STARTED = "Ray runtime started"
TAIL_LINES = 12
# Trials exchange next to nothing through Ray; its default takes a third of the memory.
OBJECT_STORE_BYTES = 100 * 1024**2
# A raylet that has lost the head for so long ends, and its trials with it, before others may take them over.
RECONNECT_S = 30


@dataclass(frozen=True)
class NodeShape:
    """What a node is.

    Attributes:
        instance: the id by which the autoscaler knows it: that of its SLURM job.
        kind: ``HEAD`` or ``WORKER``, the autoscaler's node type.
        address: of this host, as the other nodes reach it.
        cpus: that trials may use, and likewise ``gpus`` and ``memory_bytes``: from the allocation, not from the
            host.
        ports: to choose from; None: any.
        environment: of the node and all that runs on it.
    """

    instance: str
    kind: str
    address: str
    cpus: int
    gpus: int
    memory_bytes: int
    token: Path
    ports: Ports | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class RayNode:
    """A Ray node while it runs; made by :func:`start_node`.

    Attributes:
        address: where a head listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], raylet: psutil.Process, address: str) -> None:
        self._process = process
        self._raylet = raylet
        self.address = address

    @property
    def is_alive(self) -> bool:
        """Whether its raylet lives: `ray start` itself stays when the raylet was drained and left."""
        return self._process.poll() is None and processes.is_alive(self._raylet.pid)

    def drain(self) -> None:
        """Take no new work, and end when the present work has left; returns at once."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self, grace_s: float = 5.0) -> None:
        """End it and everything that it started."""
        found = [psutil.Process(self._process.pid)] if self._process.poll() is None else []
        processes.end_processes([*found, *processes.descendants(self._process.pid)], grace_s)
        self._process.wait(timeout=10)


def start_node(
    shape: NodeShape, folder: Path, where: Sequence[str], stop: Callable[[], bool]
) -> RayNode | None:
    """Start a node and wait until it is part of its cluster.

    Args:
        folder: an empty one on a local disk, with a short path.
        where: arguments of `ray start` that say which cluster: ``--head`` makes a new one.
        stop: whether the node is no longer wanted.

    Returns:
        The node; None if ``stop`` said so before it was there.

    Raises:
        SlurmError: it did not start, several times over; with the last words of `ray start`.
    """
    for attempt in range(TRIES):
        log = folder / f"ray-{attempt}.log"
        chosen = free_ports(NUM_PORTS, shape.ports)
        options = [*where, *_ports(shape, chosen, is_head="--head" in where)]
        process = _launch(shape, folder, options, log, chosen[-1])
        raylet = _wait(process, log, stop)
        if raylet is not None:
            return RayNode(process, raylet, f"{shape.address}:{chosen[0]}")
        processes.end_processes([*_itself(process), *processes.descendants(process.pid)], 1.0)
        process.wait(timeout=10)
        if stop():
            return None
        time.sleep(random.uniform(0.5, 3.0))
    raise SlurmError(f"no Ray node could be started on {socket.gethostname()}:\n{_tail(log)}")


def free_ports(count: int, ports: Ports | None) -> list[int]:
    """Ports that nobody uses right now; another process may still be faster, so starting is tried again.

    Raises:
        SlurmError: the profile's range has not so many.
    """
    candidates = [0] * count
    if ports:
        candidates = random.sample(range(ports.low, ports.high + 1), ports.high + 1 - ports.low)
    found: list[int] = []
    with ExitStack() as stack:
        for candidate in candidates:
            tried = stack.enter_context(socket.socket())
            try:
                tried.bind(("", candidate))
            except OSError:
                continue
            found.append(tried.getsockname()[1])
            if len(found) == count:
                return found
    raise SlurmError(
        f"of the profile's 'ports' only {len(found)} are free on {socket.gethostname()}; widen the range, "
        f"which has to hold {count} for each node of Ray on a host"
    )


def _launch(
    shape: NodeShape, folder: Path, arguments: Sequence[str], log: Path, metric_port: int
) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
        *("--temp-dir", str(folder), "--node-ip-address", shape.address),
        *("--object-store-memory", str(OBJECT_STORE_BYTES)),
        *("--num-cpus", str(shape.cpus), "--num-gpus", str(shape.gpus), "--memory", str(shape.memory_bytes)),
        *arguments,
    ]
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(shape.token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_CLOUD_INSTANCE_ID": shape.instance,
        "RAY_NODE_TYPE_NAME": shape.kind,
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(RECONNECT_S),
        # A trial trains no slower than `wav2pix train`; Ray's default is the lowest priority but four.
        "RAY_worker_niceness": "0",
        "AUTOSCALER_METRIC_PORT": str(metric_port),
    }
    with log.open("wb") as out:
        # In a session of its own, so that the job's end reaches this process first, which drains the node.
        return subprocess.Popen(  # noqa: S603 - our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, **shape.environment},
            start_new_session=True,
            preexec_fn=_ignore_warning,  # noqa: PLW1509 - it takes no lock
        )


def _ignore_warning() -> None:
    """SLURM's word that the walltime is near goes, with some of its set-ups, to every process of a job."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _ports(shape: NodeShape, chosen: Sequence[int], *, is_head: bool) -> list[str]:
    """Every port that Ray would otherwise take from a fixed number, which a neighbour may use."""
    names = ["port"] if is_head else []
    names += ["dashboard-agent-listen-port", "dashboard-agent-grpc-port", "runtime-env-agent-port"]
    rest = ["metrics-export-port", "node-manager-port", "object-manager-port"]
    if shape.ports is None:
        options = dict(zip(names, chosen, strict=False))
        options |= dict.fromkeys((*rest, "min-worker-port", "max-worker-port"), 0)
        return [f"--{name}={port}" for name, port in options.items()]
    options = dict(zip([*names, *rest], chosen, strict=False))
    # Ray refuses a port that is named twice.
    others = [str(port) for port in range(shape.ports.low, shape.ports.high + 1) if port not in chosen]
    return [*(f"--{name}={port}" for name, port in options.items()), f"--worker-port-list={','.join(others)}"]


def _wait(process: subprocess.Popen[bytes], log: Path, stop: Callable[[], bool]) -> psutil.Process | None:
    """The raylet of a node that has started; None if it has not."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None and not stop():
        if STARTED in log.read_text(errors="replace"):
            below = processes.descendants(process.pid)
            return next((child for child in below if child.name() == "raylet"), None)
        time.sleep(POLL_S)
    return None


def _itself(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [psutil.Process(process.pid)] if process.poll() is None else []


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    return "\n".join(lines[-TAIL_LINES:])
