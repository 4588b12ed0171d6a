"""The files that SLURM and munge read, all below the testbed's root."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.network import Host, Network

SLURM_CONF = """\
ClusterName=testbed
SlurmctldHost=controller({controller})
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits until the credential of its first run has expired: 120 s by default.
AuthInfo=socket={munge_socket},cred_expire=10
CredType=cred/munge

StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/%n.log

ProctrackType=proctrack/{proctrack}
TaskPlugin=task/{task}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
# Without it a job that does not say how much memory it needs gets all of the host's.
DefMemPerCPU={memory_per_cpu_mb}
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none

# A host may say that it has more cores than there are, so that jobs fit.
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,batch_sched_delay=1,bf_interval=2
ReturnToService=2
KillWait={kill_wait_s}
OverTimeLimit=0
# Finished jobs stay in squeue this long.
MinJobAge=300
# A host that is cut off for a minute keeps its jobs.
SlurmdTimeout=300
SlurmctldTimeout=300
MessageTimeout=20

NodeName=DEFAULT CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 \
RealMemory={memory_mb} State=UNKNOWN{gres}
{nodes}

PartitionName=DEFAULT Nodes=ALL MaxTime=INFINITE State=UP
PartitionName=gpu PriorityTier=1 PreemptMode=REQUEUE Default=YES
PartitionName=cpu PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent PriorityTier=10 PreemptMode=OFF
"""

# Only memory is limited: cores are more than there are, and the GPUs are stand-ins.
CGROUP_CONF = """\
CgroupAutomount=no
CgroupPlugin=cgroup/v1
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=yes
"""


@dataclass(frozen=True)
class Files:
    """Where everything of a testbed lies."""

    root: Path

    @property
    def slurm_conf(self) -> Path:
        return self.root / "slurm.conf"

    @property
    def hosts(self) -> Path:
        return self.root / "hosts"

    @property
    def munge_key(self) -> Path:
        return self.root / "munge" / "key"

    @property
    def munge_socket(self) -> Path:
        return self.root / "munge" / "socket"

    @property
    def munged(self) -> list[str]:
        """The command that serves munge."""
        folder = self.munge_key.parent
        files = [f"--{kind}-file={folder / kind}" for kind in ("key", "pid", "seed", "log")]
        return ["munged", "--foreground", "--force", "--num-threads=2", f"--socket={self.munge_socket}", *files]

    @property
    def homes(self) -> Path:
        return self.root / "home"

    def output(self, daemon: str) -> Path:
        return self.root / "log" / f"{daemon}.out"

    def new_stage(self, name: str) -> Path:
        """A folder for what takes the place of others on a host, or for a user."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root / "stage"))

    def gpu(self, number: int) -> Path:
        return self.root / "gpus" / f"gpu{number}"


@dataclass(frozen=True)
class Settings:
    """What a testbed is made of: GPUs, cores and MiB of each host, and how SLURM ends a job's processes.

    ``cgroups`` are the controllers that hosts have. With ``proctrack="cgroup"`` SIGTERM reaches only the task
    of a step, and nothing survives SIGKILL; with ``"linuxproc"`` all descendants get both, a daemon neither.
    """

    gpus: int
    cpus: int
    memory_mb: int
    kill_wait_s: int
    cgroups: tuple[str, ...]
    proctrack: str

    def write(self, files: Files, network: Network, hosts: Sequence[Host]) -> None:
        """The folders and files of a testbed."""
        spools = [f"spool/{host.name}" for host in hosts]
        for name in ("state", "spool", *spools, "run", "log", "munge", "gpus", "home", "stage"):
            (files.root / name).mkdir()
            (files.root / name).chmod(0o755)
        files.munge_key.touch(mode=0o600)
        files.munge_key.write_bytes(os.urandom(1024))
        names = [("localhost", "127.0.0.1"), ("controller", network.controller)]
        names += [(host.name, host.address) for host in hosts]
        files.hosts.write_text("".join(f"{address} {name}\n" for name, address in names))
        # SLURM takes any character device for a GPU and never opens it: these are /dev/null.
        for gpu in range(self.gpus):
            os.mknod(files.gpu(gpu), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        gres = [
            f"NodeName={host.name} Name=gpu File={files.gpu(gpu)}\n"
            for host in hosts
            for gpu in range(self.gpus)
        ]
        (files.root / "gres.conf").write_text("".join(gres))
        (files.root / "cgroup.conf").write_text(CGROUP_CONF)
        files.slurm_conf.write_text(self._slurm_conf(files, network, hosts))

    def _slurm_conf(self, files: Files, network: Network, hosts: Sequence[Host]) -> str:
        return SLURM_CONF.format(
            root=files.root,
            controller=network.controller,
            # slurmctld listens at every address of the machine.
            port=6820 + network.number,
            munge_socket=files.munge_socket,
            proctrack=self.proctrack,
            task="cgroup" if "memory" in self.cgroups else "none",
            kill_wait_s=self.kill_wait_s,
            cpus=self.cpus,
            memory_mb=self.memory_mb,
            memory_per_cpu_mb=self.memory_mb // self.cpus,
            gres=f" Gres=gpu:{self.gpus}" if self.gpus else "",
            nodes="\n".join(f"NodeName={host.name} NodeAddr={host.address}" for host in hosts),
        )
