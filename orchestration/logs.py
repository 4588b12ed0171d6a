"""Where trials and jobs of a sweep leave their words."""

from __future__ import annotations

from pathlib import Path

from orchestration.errors import SweepError
from orchestration.folders import SweepFolder, trial_name
from slurm.folder import ClusterFolder


def find_log(folder: SweepFolder, trial: int | None, job: str | None) -> Path:
    """The log of a trial, of a job, or of the newest controller.

    Raises:
        SweepError: there is none; the message says what there is.
    """
    if trial is not None:
        path = folder.trial_log(trial)
        return _there(path, f"trial {trial_name(trial)} of '{folder.name}' has said nothing yet")
    jobs = ClusterFolder(folder.cluster)
    if job is not None:
        known = ", ".join(sorted(path.name.split("_0_log")[0] for path in jobs.jobs.glob("*_0_log.out")))
        return _there(jobs.log(job), f"no log of a job {job} of '{folder.name}'; there are {known or 'none'}")
    history = ClusterFolder(folder.cluster).head_now()
    if history is not None:
        return _there(jobs.log(history.job), f"the controller of '{folder.name}' has said nothing yet")
    controllers = sorted(jobs.jobs.glob("*_0_log.out"), key=lambda path: path.stat().st_mtime)
    if not controllers:
        raise SweepError(f"no job of '{folder.name}' has said anything yet")
    return controllers[-1]


def _there(path: Path, otherwise: str) -> Path:
    if not path.is_file():
        raise SweepError(otherwise)
    return path
