"""Hosts of their own inside one machine: for each its namespaces, and a cable to the bridge.

Nothing has to clean up after a process that was killed: each daemon dies with the process that started it
(PDEATHSIG), a host with its first process (a PID namespace), a cable with its host.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster.configuration import Files
from tests.cluster.network import Host, Network
from tests.cluster.processes import Process, network_namespace, within
from tests.cluster.view import view
from tests.cluster.waiting import TestbedError, run, wait_for

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
DAEMON_ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

# Version 1, for SLURM uses version 2 only below systemd. In a cgroup namespace a mount shows what is below the
# group of the process that started the host, so that the limits of that one hold for the host too.
MOUNT_CGROUPS = """
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for controller in {controllers}; do
    mkdir /sys/fs/cgroup/$controller
    mount -t cgroup -o $controller cgroup /sys/fs/cgroup/$controller
done
"""

BOOT = """
name=$1 address=$2 link=$3 bridge=$4 outside=$5 root=$6
hostname "$name"
ip link set lo up
ip link add eth0 type veth peer name "$link" netns "$outside"
ip address add "$address/24" dev eth0
ip link set eth0 up
nsenter --net="/proc/$outside/ns/net" ip link set "$link" master "$bridge" up
mount --bind "$root/hosts" /etc/hosts
mount -t tmpfs tmpfs /dev/shm
{mount_cgroups}
for controller in {controllers}; do
    mkdir -p "/sys/fs/cgroup/$controller/$link"
    mount --bind "/sys/fs/cgroup/$controller/$link" "/sys/fs/cgroup/$controller"
done
{view}
cd /
# The shell is the host's first process: it buries orphans, and the host ends when slurmd does.
exec unshare --pid --fork --kill-child --mount-proc sh -c 'slurmd -D -b & wait'
"""

BURY_CGROUPS = """
{mount_cgroups}
for controller in {controllers}; do
    group=/sys/fs/cgroup/$controller/$1
    [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {{}} +
done
"""


def mount_cgroups(controllers: Sequence[str]) -> str:
    return MOUNT_CGROUPS.format(controllers=" ".join(controllers)) if controllers else ""


def usable_cgroups() -> tuple[str, ...]:
    """The controllers, of those that SLURM can use here, that this kernel lets a host mount."""

    def usable(controller: str) -> bool:
        with suppress(TestbedError):
            run(["unshare", "--mount", "--cgroup", "sh", "-euc", mount_cgroups([controller])])
            return True
        return False

    return tuple(filter(usable, ("freezer", "memory")))


class Daemon:
    """A process that dies with this one: more precisely with this thread, so only the main one may start it."""

    def __init__(self, name: str, command: Sequence[str | Path], files: Files) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise TestbedError(f"{name} would die with the thread that starts it: start it in the main one")
        self.name = name
        self._output = files.output(name)
        with self._output.open("ab") as out:
            self._process = subprocess.Popen(
                [*DIES_WITH_US, *command],
                env=DAEMON_ENV | {"SLURM_CONF": str(files.slurm_conf)},
                cwd=files.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def last_words(self) -> str:
        return "\n".join(
            [f"{self.name} last said:", *self._output.read_text(errors="replace").splitlines()[-5:]]
        )

    def end(self, kind: signal.Signals, timeout_s: float = 20) -> None:
        """Send the signal and wait; kill it where it does not follow."""
        self._process.send_signal(kind)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout_s)


class Machine:
    """A running host: its namespaces, and slurmd in them."""

    def __init__(
        self, host: Host, network: Network, files: Files, cgroups: Sequence[str], shared: Sequence[Path]
    ) -> None:
        self.host = host
        self._cgroups = cgroups
        script = BOOT.format(
            controllers=" ".join(cgroups),
            mount_cgroups=mount_cgroups(cgroups),
            view=view(files.new_stage(host.name), [files.root, *shared], own_tmp=True),
        )
        spaces = ["--net", "--uts", "--mount", "--ipc", "--cgroup"]
        arguments = [host.name, host.address, host.link, network.bridge, str(os.getpid()), str(files.root)]
        self._daemon = Daemon(host.name, ["unshare", *spaces, "sh", "-euc", script, "boot", *arguments], files)
        self._space = wait_for(self._own_namespace, 20, f"network namespace of {host.name}")
        self.first_pid = wait_for(self._first_pid, 20, f"first process of {host.name}")

    def _own_namespace(self) -> str:
        space = network_namespace(self._daemon.pid)
        return "" if space == network_namespace(os.getpid()) else space

    def _first_pid(self) -> int:
        if not self._daemon.alive:
            raise TestbedError(f"{self.host.name} did not boot; {self._daemon.last_words()}")
        found = (process for process in within(self._space) if process.pid != self._daemon.pid)
        return next((process.pid for process in found if process.pid_on_host == 1), 0)

    def processes(self) -> list[Process]:
        """All that runs on the host but what makes it one: its first process, slurmd and slurmstepd."""
        ours = {self._daemon.pid, self.first_pid}
        found = [process for process in within(self._space) if process.pid not in ours]
        return [process for process in found if process.user or process.name not in ("slurmd", "slurmstepd")]

    def power_off(self) -> None:
        """As when the plug is pulled: every process is gone at once."""
        self._daemon.end(signal.SIGKILL)
        wait_for(lambda: not within(self._space), 20, lambda: f"end of {within(self._space)}")
        link = Path("/sys/class/net") / self.host.link
        wait_for(lambda: not link.exists(), 20, f"end of the cable {link.name}")
        script = BURY_CGROUPS.format(
            controllers=" ".join(self._cgroups), mount_cgroups=mount_cgroups(self._cgroups)
        )
        run(["unshare", "--mount", "--cgroup", "sh", "-euc", script, "bury", self.host.link])
