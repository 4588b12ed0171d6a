"""A real SLURM cluster of several hosts on one machine, as root on Debian or Ubuntu.

Each host has namespaces of its own (network, PID, host name, mounts, IPC, cgroups) and a slurmd in them;
slurmctld and munged run on this machine, slurmctld at the bridge's address. Hosts share all files but /tmp and
/dev/shm, and reach nothing outside the bridge.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.configuration import Files, Settings
from tests.cluster.machines import Daemon, Machine, usable_cgroups
from tests.cluster.network import Host, Network
from tests.cluster.processes import Process, job_of
from tests.cluster.view import closed_folder, view
from tests.cluster.waiting import TestbedError, run, wait_for

ACTIVE = frozenset({"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED"})


@dataclass(frozen=True)
class Job:
    """A row of squeue."""

    id: str
    state: str
    reason: str
    user: str
    node: str
    partition: str
    name: str

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class User:
    """An unprivileged user of the cluster, whose home lies in the testbed's folder.

    ``prefix`` are the words before a command that make it this user's; ``env`` is all of its environment.
    """

    name: str
    uid: int
    gid: int
    home: Path
    env: Mapping[str, str]
    prefix: tuple[str, ...]

    def run(self, command: Sequence[str | Path], *, input: str | None = None, timeout_s: float = 60) -> str:
        """What the command prints, run as this user at home, on this machine."""
        return run([*self.prefix, *command], env=self.env, cwd=self.home, input=input, timeout_s=timeout_s)


class Testbed:
    """The cluster: its hosts, its jobs, its users, and what can go wrong on it.

    ``env`` is what a client such as sbatch needs to find it, beside its usual environment.
    """

    __test__ = False

    def __init__(
        self, root: Path, network: Network, hosts: tuple[Host, ...], settings: Settings, shared: Sequence[Path]
    ) -> None:
        self.root = root
        self.files = Files(root)
        self.settings = settings
        self.hosts = hosts
        self.env = {"SLURM_CONF": str(self.files.slurm_conf)}
        self._network = network
        self._shared = shared
        self._machines: dict[str, Machine] = {}
        self._daemons: dict[str, Daemon] = {}
        self._users: dict[str, User] = {}

    # Life -----------------------------------------------------------------------------------------------------

    @classmethod
    @contextmanager
    def start(
        cls,
        root: Path,
        num_hosts: int = 3,
        gpus: int = 2,
        cpus: int = 16,
        memory_mb: int = 16000,
        kill_wait_s: int = 10,
        shared: Sequence[Path] = (),
        proctrack: str | None = None,
    ) -> Iterator[Testbed]:
        """A cluster whose every host has so many GPUs, cores and MiB. It ends with the context or this process.

        ``root`` is an empty folder for all of its files, that every user can reach; ``shared`` are folders
        below /tmp that the hosts share too. Without ``proctrack`` it is ``cgroup`` where the kernel allows it,
        else ``linuxproc``.
        """
        root = root.resolve()
        root.chmod(0o755)
        if closed := closed_folder(root):
            raise TestbedError(f"{root}: users cannot enter {closed}; choose a folder that everybody can reach")
        cgroups = usable_cgroups()
        proctrack = proctrack or ("cgroup" if "freezer" in cgroups else "linuxproc")
        settings = Settings(gpus, cpus, memory_mb, kill_wait_s, cgroups, proctrack)
        with ExitStack() as stack:
            network = Network.claim()
            stack.callback(network.release)
            testbed = cls(root, network, network.hosts(num_hosts), settings, shared)
            testbed._bring_up(stack)
            yield testbed

    def _bring_up(self, stack: ExitStack) -> None:
        self.settings.write(self.files, self._network, self.hosts)
        stack.callback(self.stop_munge)
        self.start_munge()
        stack.callback(self._tear_down)
        self.start_controller()
        for host in self.hosts:
            self.power_on(host.name)
        wait_for(self._all_idle, 60, lambda: f"idle hosts: {self._state()}")

    def _tear_down(self) -> None:
        for name in list(self._machines):
            self.power_off(name)
        self.stop_controller()
        for user in self._users.values():
            run(["userdel", "--force", user.name])

    def _all_idle(self) -> bool:
        with suppress(TestbedError):
            states = self.client("sinfo", "-h", "-N", "-p", "gpu", "-o", "%T").split()
            return states == ["idle"] * len(self.hosts)
        return False

    def _state(self) -> str:
        return self.client("sinfo", "-h", "-N", "-p", "gpu", "-o", "%N %T %E") + f" {self.jobs()}"

    # Failures -------------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        command = ["unshare", "--uts", "sh", "-c", "hostname controller && exec slurmctld -D"]
        self._daemons["slurmctld"] = daemon = Daemon("slurmctld", command, self.files)
        wait_for(self._controller_answers, 30, lambda: f"slurmctld; {daemon.last_words()}")

    def _controller_answers(self) -> bool:
        with suppress(TestbedError):
            return bool(self.client("scontrol", "ping", timeout_s=10))
        return False

    def stop_controller(self) -> None:
        """Jobs go on, and no client command gets an answer."""
        self._stop("slurmctld")

    def start_munge(self) -> None:
        self._daemons["munged"] = daemon = Daemon("munged", self.files.munged, self.files)
        wait_for(self.files.munge_socket.is_socket, 20, lambda: f"munged; {daemon.last_words()}")

    def stop_munge(self) -> None:
        """Nobody can say who he is: neither clients nor SLURM's own parts."""
        self._stop("munged")

    def _stop(self, name: str) -> None:
        if daemon := self._daemons.pop(name, None):
            daemon.end(signal.SIGTERM)

    def cut(self, host: str) -> None:
        """Pull the network cable of the host; its jobs go on."""
        run(["ip", "link", "set", self.host(host).link, "down"])

    def mend(self, host: str) -> None:
        run(["ip", "link", "set", self.host(host).link, "up"])

    def power_off(self, host: str) -> None:
        """End every process of the host at once. SLURM takes minutes to notice; ``declare_down`` hurries it."""
        if machine := self._machines.pop(host, None):
            machine.power_off()

    def power_on(self, host: str) -> None:
        if host not in self._machines:
            cgroups = self.settings.cgroups
            self._machines[host] = Machine(self.host(host), self._network, self.files, cgroups, self._shared)

    def declare_down(self, host: str) -> None:
        """What SLURM does after SlurmdTimeout, now: its jobs fail (NODE_FAIL) or are requeued."""
        self.client("scontrol", "update", f"NodeName={host}", "State=DOWN", "Reason=test")

    def restore(self) -> None:
        """Undo all failures, cancel all jobs, and wait until every host is idle: for the end of a test."""
        for name, start in (("munged", self.start_munge), ("slurmctld", self.start_controller)):
            if name not in self._daemons:
                start()
        for host in self.hosts:
            self.power_on(host.name)
            self.mend(host.name)
        if ids := [job.id for job in self.jobs() if job.active]:
            self.client("scancel", *ids)
        wait_for(self._all_idle, 120, lambda: f"idle hosts: {self._state()}")

    # What happens on it ---------------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)

    @property
    def controller_address(self) -> str:
        """Where services of this machine are reached from every host."""
        return self._network.controller

    def processes(self, host: str) -> list[Process]:
        """What runs on the host beside SLURM itself."""
        return self._machines[host].processes() if host in self._machines else []

    def kill(self, job: str) -> None:
        """SIGKILL all processes of a running job at once. `scancel --signal=KILL` would send SIGTERM before."""
        found = [process.pid for process in self.processes(self.job(job).node) if job_of(process.pid) == job]
        assert found, f"job {job} has no process"
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def run_on(self, host: str, command: Sequence[str | Path], *, timeout_s: float = 60) -> str:
        """What the command prints, run on the host as root, outside any job."""
        enter = ["nsenter", "--all", f"--target={self._machines[host].first_pid}"]
        return run([*enter, *command], env=clean_environment() | self.env, timeout_s=timeout_s)

    def sockets(self, host: str) -> list[str]:
        """Listening TCP addresses of the host other than slurmd's, such as ``10.77.0.11:6379``."""
        lines = self.run_on(host, ["ss", "-Hltnp"]).splitlines()
        return [line.split()[3] for line in lines if '(("slurm' not in line]

    def client(self, *command: str | Path, input: str | None = None, timeout_s: float = 30) -> str:
        """What a client command of SLURM prints, as root."""
        return run(command, env=clean_environment() | self.env, cwd=self.root, input=input, timeout_s=timeout_s)

    def submit(self, script: str, *options: str, user: User | None = None) -> str:
        """The id of a new job whose body is ``script``, for sh.

        Its output goes to ``slurm-ID.out`` in the home of ``user``, or in ``root``.
        """
        text = f"#!/bin/sh\n{script}\n"
        command = ["sbatch", "--parsable", *options]
        answer = user.run(command, input=text) if user else self.client(*command, input=text)
        return answer.partition(";")[0]

    def jobs(self) -> list[Job]:
        """All that SLURM remembers, ended jobs too; each element of an array is a row."""
        rows = self.client("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%u|%N|%P|%j").splitlines()
        return [Job(*row.split("|", maxsplit=6)) for row in rows]

    def job(self, job_id: str) -> Job:
        found = next((job for job in self.jobs() if job.id == job_id), None)
        if found is None:
            raise TestbedError(f"squeue does not know the job {job_id}")
        return found

    def wait_until(self, job_id: str, *states: str, timeout_s: float = 30) -> Job:
        """The job once it is in one of ``states``, such as RUNNING."""

        def there() -> Job | None:
            job = self.job(job_id)
            return job if job.state in states else None

        job = wait_for(there, timeout_s, lambda: f"{' or '.join(states)}: {self.job(job_id)}")
        assert job is not None
        return job

    # Users ----------------------------------------------------------------------------------------------------

    def user(self, name: str) -> User:
        """An unprivileged user, made when first asked for and removed with the testbed."""
        if name not in self._users:
            self._users[name] = self._make_user(f"{name}-{self._network.number}")
        return self._users[name]

    def _make_user(self, name: str) -> User:
        home = self.files.homes / name
        with suppress(KeyError):
            pwd.getpwnam(name)
            run(["userdel", "--force", name])
        kind = ["--system", "--user-group", "--shell=/bin/sh", "--no-create-home"]
        run(["useradd", *kind, "--home-dir", home, name])
        entry = pwd.getpwnam(name)
        home.mkdir(mode=0o755)
        shutil.chown(home, entry.pw_uid, entry.pw_gid)
        own = {"HOME": str(home), "USER": name, "LOGNAME": name, "SHELL": "/bin/sh", "LANG": "C.UTF-8"}
        env = {"PATH": os.environ.get("PATH", os.defpath)} | own | self.env
        sight = view(self.files.new_stage(name), own_tmp=False)
        script = f'{sight}\nexec setpriv --reuid={entry.pw_uid} --regid={entry.pw_gid} --init-groups -- "$@"'
        prefix = ("unshare", "--mount", "sh", "-euc", script, "user")
        return User(name, entry.pw_uid, entry.pw_gid, home, env, prefix)


def clean_environment() -> dict[str, str]:
    """The environment without what another SLURM, a job of it, or a Ray in this process left there."""
    foreign = ("SLURM_", "SBATCH_", "SQUEUE_", "RAY_")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
