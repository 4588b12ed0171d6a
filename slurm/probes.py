"""What the doctor's job looks at on a node, as a worker of the same profile would find it."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

import psutil

from slurm.errors import SlurmError
from slurm.exchange import Exchange
from slurm.folder import Cluster
from slurm.profile import CommonProfile, LocalProfile, Ports
from slurm.ray_node import free_ports
from slurm.report import Finding, Probe, Report, Room
from slurm.scratch import private_folder
from slurm.site import check_scratch, said

# While a report says so, the node waits for the doctor to send it the signal.
SIGNAL = "signal"
# The doctor may have to wait for an answer of SLURM's before.
SIGNAL_S = 45.0
# A Ray node takes about so many ports, and files beyond this number of its workers.
PORTS = 12
FILES = 4096
FREE_GIB = 1.0
TORCH_S = 90.0
DRIVER = Path("/proc/driver/nvidia/version")
TORCH = """
import json, torch
devices = range(torch.cuda.device_count())
for device in devices:
    torch.ones(2, device=f"cuda:{device}").sum().item()
print(json.dumps([torch.__version__, [torch.cuda.get_device_name(device) for device in devices]]))
"""
# Network file systems on which sockets and Ray's many small files do badly.
SHARED_KINDS = ("nfs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "fuse.sshfs", "panfs", "afs")


def run(root: Path, extra: Sequence[Probe], home: dict[str, str]) -> None:
    """Look at everything on this node; what the doctor's job calls.

    Args:
        root: the doctor's :class:`Room`.
        extra: what else there is to look at.
        home: :func:`software` where the doctor is.
    """
    room = Room(root)
    profile = Cluster.load(room.cluster).profile
    signals = _Signals(signal.SIGTERM if isinstance(profile, LocalProfile) else signal.SIGUSR2)
    report = Report(host=socket.gethostname())
    for probe in [*_probes(room, profile, home), *extra, Probe(SIGNAL, partial(signals.wait, profile.drain_s))]:
        report.doing = probe.what
        room.save(report)
        report.findings.append(_look(probe))
    report.doing, report.done = "", True
    room.save(report)


def software() -> dict[str, str]:
    """What must be the same where the sweep is led and where its trials run."""
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    try:
        found["ray"] = version("ray")
    except PackageNotFoundError:
        found["ray"] = "missing"
    return found


def _probes(room: Room, profile: CommonProfile, home: dict[str, str]) -> list[Probe]:
    exchange = Exchange(room)
    found = [
        Probe("shared folder", exchange.delay),
        Probe("clock", exchange.skew),
        Probe("locks", partial(_locks, room.lock)),
        Probe("software", partial(_software, home)),
        Probe("scratch", partial(_scratch, profile.scratch)),
        Probe("ports", partial(_ports, profile.ports)),
        Probe("open files", _open_files),
        Probe("GPU", partial(_gpu, profile.worker.gpus)),
    ]
    # The doctor has said so already.
    too_long = check_scratch(profile.scratch) is not None
    return [probe for probe in found if not (too_long and probe.what == "scratch")]


def _look(probe: Probe) -> Finding:
    try:
        return probe.look()
    except SlurmError as error:
        return said(probe.what, error)
    except Exception as error:  # whatever is wrong with a site is the doctor's to tell
        return Finding("failure", probe.what, f"{type(error).__name__}: {error}")


class _Signals:
    """Hears the signal that a worker leaves on, and how long after it was asked for."""

    def __init__(self, expected: signal.Signals) -> None:
        self._expected = expected
        self._is_awaited = False
        self._came = threading.Event()
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._note)

    def wait(self, drain_s: int) -> Finding:
        """Wait until the doctor has sent it."""
        self._is_awaited = True
        started = time.monotonic()
        is_here = self._came.wait(SIGNAL_S)
        name = self._expected.name
        how = "cancelling the job"
        if self._expected == signal.SIGUSR2:
            how = f"scancel --signal=USR2, which goes the way of --signal=USR2@{drain_s}"
        if is_here:
            return Finding("ok", SIGNAL, f"{name} came after {time.monotonic() - started:.1f} s, sent by {how}")
        cure = (
            "'setup' and 'python' of the profile must not put a wrapper between srun and Python that keeps it"
        )
        return Finding("failure", SIGNAL, f"{name} did not come within {SIGNAL_S:.0f} s, sent by {how}", cure)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == self._expected and (self._is_awaited or number == signal.SIGUSR2):
            self._came.set()
        elif number == signal.SIGTERM:
            sys.exit("cancelled")


def _locks(path: Path) -> Finding:
    """The doctor holds this one."""
    with path.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Finding("ok", "locks", "a lock in the shared folder holds between hosts")
        except OSError as error:
            cure = "the file system has to be mounted with flock, or use another --storage"
            return Finding("failure", "locks", f"the shared folder has none: {error.strerror}", cure)
    cure = (
        "mount it with flock (Lustre) or without local_lock (NFS), or never run two commands of a sweep at once"
    )
    return Finding("warning", "locks", "a lock in the shared folder does not hold between hosts", cure)


def _software(home: dict[str, str]) -> Finding:
    here = software()
    detail = ", ".join(f"{name} {number}" for name, number in here.items())
    if here == home:
        return Finding("ok", "software", f"{detail}, as here")
    there = ", ".join(f"{name} {number}" for name, number in home.items())
    cure = "give the job the same versions: 'setup', 'python' and 'container' of the profile choose them"
    return Finding("failure", "software", f"{detail} on the node, {there} here", cure)


def _scratch(parent: Path) -> Finding:
    """A job's own folder, as jobs make it, with a socket in it."""
    with private_folder(parent) as folder, socket.socket(socket.AF_UNIX) as probe:
        probe.bind(str(folder / "socket"))
        mode, free_gib = folder.stat().st_mode & 0o777, shutil.disk_usage(folder).free / 1024**3
        kind = _file_system(folder)
    detail = f"a folder of mode {mode:o} in {parent}, {free_gib:.0f} GiB free on {kind or 'some file system'}"
    if mode != 0o700:
        cure = "choose another 'scratch' in the profile: this file system keeps no modes"
        return Finding("failure", "scratch", detail, cure)
    if kind.startswith(SHARED_KINDS):
        return Finding("warning", "scratch", detail, "choose a 'scratch' on the node's own disk in the profile")
    if free_gib < FREE_GIB:
        return Finding("warning", "scratch", detail, "free space, or choose another 'scratch' in the profile")
    return Finding("ok", "scratch", detail)


def _file_system(path: Path) -> str:
    """The kind of file system that a path is on."""
    mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    return next((mounts[above] for above in path.resolve().parents if above in mounts), "")


def _ports(ports: Ports | None) -> Finding:
    free_ports(PORTS, ports)
    within = f"from {ports.low} to {ports.high}" if ports else "that the system chooses"
    return Finding("ok", "ports", f"{PORTS} are free {within}")


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= FILES:
        return Finding("ok", "open files", "unlimited" if soft == unlimited else f"at most {soft}")
    cure = f"ask the administrator for at least {FILES} (LimitNOFILE of slurmd)"
    if hard == unlimited or hard >= FILES:
        cure = f"add `ulimit -n {FILES if hard == unlimited else hard}` to 'setup' in the profile"
    return Finding("warning", "open files", f"at most {soft}, which Ray can reach", cure)


def _gpu(asked: int) -> Finding:
    if not asked:
        return Finding("ok", "GPU", "none asked for")
    giver = "SLURM" if "SLURM_JOB_ID" in os.environ else "the profile"
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    devices = [device for device in given.split(",") if device]
    if len(devices) != asked:
        cure = "compare 'worker.gpus', or 'gres' of 'sbatch', with `sinfo -o '%P %G'`"
        return Finding("failure", "GPU", f"{giver} gave {given or 'none'}, the profile asks for {asked}", cure)
    torch, names, error = _ask_torch()
    gave = f"{giver} gave device {given}"
    if len(names) == asked:
        return Finding("ok", "GPU", f"{gave}, torch {torch} computes on {', '.join(names)}")
    if not DRIVER.exists():
        cure = (
            "on a node with GPUs: install the NVIDIA driver there, or name another 'partition' or 'constraint'"
        )
        saw = f"torch {torch} sees {len(names) or 'none'}" if torch else error
        return Finding("warning", "GPU", f"{gave}, {saw}: CPU build of torch, or no driver", cure)
    cure = "install a build of torch for the node's driver (`nvidia-smi` names its CUDA) and GPU"
    return Finding("failure", "GPU", f"{gave}, torch {torch} sees {len(names)} of {asked}; {error}", cure)


def _ask_torch() -> tuple[str, list[str], str]:
    """Torch's version, the GPUs it computes on, and any error: in a process of its own, should it hang."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=TORCH_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "", [], f"torch has not answered within {TORCH_S:.0f} s"
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"torch ended with {done.returncode}"]
        return "", [], last[0]
    torch, names = json.loads(done.stdout.splitlines()[-1])
    return torch, names, ""
