"""What the jobs of the tests do; jobs import this module by its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from slurm.controller import Stop
from slurm.folder import Cluster, ClusterFolder, Head
from slurm.handover import take_over
from slurm.hosts import job_id
from slurm.jobs import open_jobs


def write(path: Path) -> None:
    """Say which process of which session this is, and since when."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{os.getpid()} {os.getsid(0)} {time.time()}")


def fail() -> None:
    """A body that goes wrong."""
    raise RuntimeError("this body always fails")


def stay(path: Path) -> None:
    """Stay, and so does a process that has left its parent and its session; with ``path`` in its words."""
    _leave_on_sigterm()
    leave = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
    wait = [sys.executable, "-c", "import time; time.sleep(600)", str(path)]
    subprocess.run([sys.executable, "-c", leave, *wait], check=True)
    path.touch()
    time.sleep(600)


def count(path: Path) -> None:
    """Add a line, and stay until SIGTERM."""
    _leave_on_sigterm()
    with path.open("a") as file:
        file.write("ran\n")
    time.sleep(600)


def tell_environment(path: Path) -> None:
    """Write down the environment."""
    path.write_text("\n".join(f"{name}={value}" for name, value in os.environ.items()))


def tell_what_it_took_over(root: Path, path: Path) -> None:
    """Read the variables that jobs are handed, write down the environment, and stay until SIGTERM."""
    _leave_on_sigterm()
    folder = ClusterFolder(root)
    take_over(Cluster.load(folder), folder)
    lines = [f"{name}={value}" for name, value in os.environ.items() if "\n" not in value]
    draft = path.with_suffix(".draft")
    draft.write_text("\n".join(lines))
    draft.rename(path)
    time.sleep(600)


def ask_a_worker(root: Path, path: Path, head: Head, stop: Stop) -> bool:
    """Be the work of a controller: have a task tell its environment, and stay until all is done."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(ClusterFolder(root).token)}
    import ray

    ray.init(address=head.address, log_to_driver=False)
    try:
        found = ray.get(ray.remote(num_cpus=1)(lambda: dict(os.environ)).remote(), timeout=120)
        path.write_text("".join(f"{name}={value}\n" for name, value in found.items()))
        end = time.monotonic() + 60
        while not path.with_suffix(".done").exists() and time.monotonic() < end:
            stop.wait(0.1)
        return True
    finally:
        ray.shutdown()


def ignore_sigterm(path: Path) -> None:
    """Stay, whatever anybody says; submitit itself makes SIGTERM do nothing."""
    path.touch()
    time.sleep(600)


def note_signals(path: Path) -> None:
    """Write down each of SLURM's signals and when it came, and stay."""

    def note(number: int, frame: object) -> None:
        del frame
        with path.open("a") as file:
            file.write(f"{signal.Signals(number).name} {time.time()}\n")

    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, note)
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(1)


def write_own(folder: Path) -> None:
    """Leave a file with the name of the job, and stay until SIGTERM."""
    _leave_on_sigterm()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / job_id()).touch()
    time.sleep(600)


def submit(root: Path, path: Path) -> None:
    """Submit a worker from within a job."""
    folder = ClusterFolder(root)
    open_jobs(Cluster.load(folder), folder).submit("worker", partial(tell_environment, path))


def _leave_on_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
