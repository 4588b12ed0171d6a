"""What a process runs in: Python, packages, GPUs, the job and the host. Nothing in it is a secret."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

# A driver that hangs must not hold up a trial.
DRIVER_S = 10.0
# What SLURM says of a job that helps to find it again; prefix left out.
SLURM = (
    "JOB_ID",
    "ARRAY_JOB_ID",
    "ARRAY_TASK_ID",
    "JOB_NAME",
    "JOB_NODELIST",
    "NODEID",
    "JOB_PARTITION",
    "CLUSTER_NAME",
    "RESTART_COUNT",
    "CPUS_ON_NODE",
    "MEM_PER_NODE",
)
NO_GPU = "none"


@dataclass(frozen=True)
class Environment:
    """What a process runs in.

    Attributes:
        packages: all that are installed, ``name==version``, as ``pip install -r`` reads them.
        cuda: the version that torch was built for; ``none`` of a build for CPUs.
        gpus: names of those that this process may use.
        driver: of the GPUs, or why it is not known.
        slurm: ids and place of the job, by SLURM's names in lower case.
    """

    python: str
    platform: str
    host: str
    cpus: int
    torch: str
    cuda: str
    driver: str
    gpus: tuple[str, ...] = ()
    slurm: dict[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, str]:
        """All but the packages in words, for tags: ``python``, ``gpus``, ``slurm.job_id`` and so on."""
        own = {
            "python": self.python,
            "platform": self.platform,
            "host": self.host,
            "cpus": str(self.cpus),
            "torch": self.torch,
            "cuda": self.cuda,
            "gpus": ", ".join(self.gpus) or NO_GPU,
            "driver": self.driver,
        }
        return own | {f"slurm.{name}": value for name, value in self.slurm.items()}

    def write(self, folder: Path) -> list[Path]:
        """Write ``environment.json`` and ``packages.txt`` into a folder; the paths of both."""
        about, packages = folder / "environment.json", folder / "packages.txt"
        content = asdict(self)
        del content["packages"]
        about.write_text(json.dumps(content, indent=2) + "\n")
        packages.write_text("".join(f"{package}\n" for package in self.packages))
        return [about, packages]


@cache
def this_environment() -> Environment:
    """That of this process, which does not change while it runs; imports torch."""
    import torch  # noqa: PLC0415 - who only wants the packages need not wait for it

    try:
        names = tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    except RuntimeError as error:  # a driver that is broken; what trains says it again, and louder
        names = (f"unknown: {str(error).splitlines()[0]}",)
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        host=socket.gethostname(),
        cpus=len(os.sched_getaffinity(0)),
        torch=str(torch.__version__),
        cuda=torch.version.cuda or NO_GPU,
        driver=_driver() if names else "no GPU",
        gpus=names,
        slurm=_slurm(),
        packages=installed_packages(),
    )


def installed_packages() -> tuple[str, ...]:
    """``name==version`` of all packages that this process can import, those first on the path before others.

    Where a package came from is left out: such addresses may hold passwords.
    """
    found: dict[str, str] = {}
    for package in metadata.distributions():
        # Nothing of this is there of a package that was removed by half; which finder says so how differs.
        try:
            about = package.metadata
        except FileNotFoundError:
            continue
        name = about["Name"] if about and "Name" in about else None
        version = about["Version"] if about and "Version" in about else None
        if name and version:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), f"{name}=={version}")
    return tuple(found[key] for key in sorted(found))


def _slurm() -> dict[str, str]:
    values = {name.lower(): os.environ.get(f"SLURM_{name}", "") for name in SLURM}
    node = {"node": os.environ.get("SLURMD_NODENAME", "")}
    return {name: value for name, value in (values | node).items() if value}


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(  # noqa: S603 - a constant command
            command, capture_output=True, text=True, timeout=DRIVER_S, check=True, errors="replace"
        )
    except FileNotFoundError:
        return "unknown: no nvidia-smi"
    except subprocess.TimeoutExpired:
        return f"unknown: nvidia-smi has not answered within {DRIVER_S:g} s"
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown: nvidia-smi failed: {error}"
    versions = dict.fromkeys(line.strip() for line in done.stdout.splitlines() if line.strip())
    return ", ".join(versions) or "unknown: nvidia-smi said nothing"
