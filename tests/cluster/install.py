"""The packages that a cluster needs, from Debian or Ubuntu."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster.waiting import TestbedError, run

PACKAGES = ("slurm-wlm", "munge", "iproute2", "procps")
DAEMONS = ("slurmctld", "slurmd", "munged")
TOOLS = ("sbatch", "squeue", "ip", "ss", "ps", "unshare", "nsenter", "setpriv")
POLICY = Path("/usr/sbin/policy-rc.d")
NAMESPACES = ("--net", "--uts", "--mount", "--ipc", "--cgroup", "--pid", "--fork", "--mount-proc")


def obstacle() -> str:
    """Why no cluster can be made here; empty when it can."""
    if os.geteuid() != 0:
        return "a SLURM cluster on one machine needs root"
    if _missing() and not shutil.which("apt-get"):
        return f"{', '.join(_missing())} missing, and only apt-get can be asked to install SLURM"
    probe = ["ip", "link", "add", "probe", "type", "bridge"] if shutil.which("ip") else ["true"]
    try:
        run(["unshare", *NAMESPACES, *probe])
    except TestbedError as error:
        return f"this machine allows no network namespaces: {error}"
    return ""


def install() -> None:
    """Install what is missing. None of the packages' own services is started."""
    if not _missing():
        return
    run(["apt-get", "update", "-qq"], timeout_s=300)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    quiet = not POLICY.exists()
    if quiet:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        run([*apt, *PACKAGES], env=env, timeout_s=600)
    finally:
        if quiet:
            POLICY.unlink()
    if missing := _missing():
        raise TestbedError(f"{', '.join(missing)} missing even with the packages {', '.join(PACKAGES)}")


def _missing() -> list[str]:
    return [command for command in (*DAEMONS, *TOOLS) if not shutil.which(command)]
