"""What /proc says about processes."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process of a host. ``pid`` is its number on this machine, ``pid_on_host`` the one that itself knows.

    ``user`` is a user id, ``name`` what ps calls it, ``command`` its words.
    """

    pid: int
    pid_on_host: int
    user: int
    name: str
    command: str


def start_time(pid: int) -> str:
    """When the process ``pid`` started, in clock ticks since boot; empty when there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def network_namespace(pid: int) -> str:
    """The identity of the process's network namespace; empty when the process has ended."""
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    return ""


def job_of(pid: int) -> str:
    """The SLURM job whose control group the process is in; empty when it is in none."""
    with suppress(OSError):
        found = re.search(r"/job_(\d+)", Path(f"/proc/{pid}/cgroup").read_text())
        return found[1] if found else ""
    return ""


def within(namespace: str) -> list[Process]:
    """Every living process of a network namespace."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    found = [_describe(pid) for pid in pids if network_namespace(pid) == namespace]
    return [process for process in found if process]


def _describe(pid: int) -> Process | None:
    folder = Path(f"/proc/{pid}")
    try:
        lines = (folder / "status").read_text().splitlines()
        words = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    name = status["Name"][0]
    command = words.replace(b"\0", b" ").decode(errors="replace").strip()
    return Process(pid, int(status["NSpid"][-1]), int(status["Uid"][0]), name, command or f"[{name}]")
