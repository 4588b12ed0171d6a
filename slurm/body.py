"""How a job gets from a shell to Python: the lines that both kinds of scheduler run."""

from __future__ import annotations

import shlex

from slurm.folder import Cluster, ClusterFolder
from slurm.job import Kind
from slurm.profile import Container, SlurmProfile
from slurm.secret_names import holds_secret


def preamble(cluster: Cluster) -> list[str]:
    """Shell lines before Python: the profile's set-up and environment, and the frozen code before all other.

    Schedulers keep scripts: what holds a secret is set by the job itself (:mod:`slurm.handover`).
    """
    shown = {
        name: value for name, value in cluster.profile.environment.items() if not holds_secret(name, value)
    }
    lines = [*cluster.profile.setup]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in shown.items()]
    if cluster.code:
        lines.append(f"export PYTHONPATH={shlex.quote(str(cluster.code))}${{PYTHONPATH:+:$PYTHONPATH}}")
        # python -m puts the current folder first, which may be the working tree that has changed since.
        lines.append("export PYTHONSAFEPATH=1")
    return lines


def python_command(cluster: Cluster, folder: ClusterFolder, kind: Kind) -> str:
    """The interpreter as a shell command; a worker's may be in a container."""
    profile = cluster.profile
    container = profile.container if isinstance(profile, SlurmProfile) else None
    if container is None or kind == "controller":
        return shlex.quote(cluster.python)
    return shlex.join([*_apptainer(container, cluster, folder), profile.python or "python3"])


def _apptainer(container: Container, cluster: Cluster, folder: ClusterFolder) -> list[str]:
    """``apptainer exec`` with the sweep's folder, the current one and the scratch folder in it."""
    own = [str(folder.root.parent), str(cluster.cwd), str(cluster.profile.scratch)]
    binds = [part for bind in (*own, *container.binds) for part in ("--bind", bind)]
    nv = ["--nv"] if cluster.profile.worker.gpus else []
    return ["apptainer", "exec", *nv, *binds, "--pwd", str(cluster.cwd), container.image]
