"""Where trials and jobs of a sweep leave their words."""

from __future__ import annotations

from pathlib import Path

from orchestration import space
from orchestration.driver import Result
from orchestration.errors import SweepError
from slurm.folder import Cluster, ClusterFolder
from slurm.job import Job
from slurm.jobs import open_polled_jobs


def find_log(result: Result, trial: int | None, job: str | None) -> Path:
    """The log of a trial, of a job, or of the newest controller.

    Raises:
        SweepError: there is none; the message says what there is.
    """
    if trial is not None and job is not None:
        raise SweepError("the log of a trial or that of a job: --trial and --job do not go together")
    return _of_trial(result, trial) if trial is not None else _of_job(result, job)


def _of_trial(result: Result, trial: int) -> Path:
    number = space.num_trials(result.spec)
    if trial >= number:
        raise SweepError(f"'{result.spec.name}' has no trial {trial}: its trials are 0 to {number - 1}")
    path = result.folder.trial_log(trial)
    return _there(path, f"trial {trial} of '{result.spec.name}' has not begun yet")


def _of_job(result: Result, id: str | None) -> Path:
    name, folder = result.spec.name, ClusterFolder(result.folder.cluster)
    if not folder.record.is_file():
        raise SweepError(
            f"'{name}' was not submitted to a cluster and has no jobs; --trial 0 shows its first trial"
        )
    jobs = open_polled_jobs(Cluster.load(folder), folder).remembered()
    if id is None:
        return _of_controller(name, folder, jobs)
    if id not in {job.id for job in jobs} and not folder.log(id).is_file():
        known = ", ".join(job.id for job in jobs) or "none"
        raise SweepError(f"'{name}' has no job {id}; there are {known}")
    return _there(folder.log(id), f"job {id} of '{name}' has said nothing yet")


def _of_controller(name: str, folder: ClusterFolder, jobs: list[Job]) -> Path:
    """Of the newest that has said anything."""
    controllers = [job.id for job in jobs if job.kind == "controller" and folder.log(job.id).is_file()]
    if not controllers:
        raise SweepError(f"no job leads '{name}' yet; `wav2pix sweep status {name}` shows what it waits for")
    return folder.log(controllers[-1])


def _there(path: Path, otherwise: str) -> Path:
    if not path.is_file():
        raise SweepError(otherwise)
    return path
