"""``python -m tests.cluster``: the cluster in the foreground, until Ctrl-C or a limit."""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.install import install, obstacle
from tests.cluster.testbed import Testbed
from tests.cluster.waiting import TestbedError

HELP = """
{hosts}

In another terminal:

    export SLURM_CONF={conf}
    sinfo
    srun -N{num_hosts} hostname
    sbatch --wrap hostname
    sbatch --gres=gpu:1 --wrap 'hostname; echo GPU $CUDA_VISIBLE_DEVICES; sleep 60'
    squeue

Partitions: gpu (the default) and cpu can be preempted, which requeues a job; jobs of urgent do that.
Logs are below {root}/log. It ends after {minutes:g} minutes, or with Ctrl-C.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A SLURM cluster on this machine."
    )
    parser.add_argument("--hosts", type=int, default=3, help="number of hosts (3)")
    parser.add_argument("--gpus", type=int, default=2, help="stand-ins for GPUs of each host (2)")
    parser.add_argument("--cpus", type=int, default=16, help="cores that each host says it has (16)")
    parser.add_argument(
        "--memory-mb", type=int, default=16000, help="memory that each host says it has (16000)"
    )
    parser.add_argument("--minutes", type=float, default=120, help="when it stops by itself (120)")
    arguments = parser.parse_args()
    if why_not := obstacle():
        sys.exit(why_not)
    # A plain `kill` ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(arguments)
    except KeyboardInterrupt:
        print("The cluster has ended.")
    except TestbedError as error:
        sys.exit(str(error))


def serve(arguments: argparse.Namespace) -> None:
    print("Installing SLURM where it is missing, and starting a cluster ...", flush=True)
    install()
    with (
        tempfile.TemporaryDirectory(prefix="wav2pix-cluster-") as folder,
        Testbed.start(
            Path(folder), arguments.hosts, arguments.gpus, arguments.cpus, arguments.memory_mb
        ) as testbed,
    ):
        hosts = "\n".join(f"{host.name}  {host.address}" for host in testbed.hosts)
        text = HELP.format(
            hosts=hosts,
            num_hosts=len(testbed.hosts),
            conf=testbed.files.slurm_conf,
            root=testbed.root,
            minutes=arguments.minutes,
        )
        print(text, flush=True)
        time.sleep(arguments.minutes * 60)
    print("The cluster has ended.")


if __name__ == "__main__":
    main()
