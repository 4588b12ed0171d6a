"""The jobs of a sweep, wherever its profile has them run."""

from __future__ import annotations

from slurm.folder import Cluster, ClusterFolder
from slurm.job import Ending, Job, Jobs, JobState, Kind
from slurm.local_jobs import LocalJobs
from slurm.polling import PolledJobs
from slurm.profile import LocalProfile
from slurm.slurm_jobs import SlurmJobs

__all__ = [
    "Ending",
    "Job",
    "JobState",
    "Jobs",
    "Kind",
    "LocalJobs",
    "PolledJobs",
    "SlurmJobs",
    "open_jobs",
    "open_polled_jobs",
]


def open_jobs(cluster: Cluster, folder: ClusterFolder) -> Jobs:
    """The jobs of the sweep that this cluster is for. Nothing is asked yet."""
    if isinstance(cluster.profile, LocalProfile):
        return LocalJobs(cluster, folder)
    return SlurmJobs(cluster, cluster.profile, folder)


def open_polled_jobs(cluster: Cluster, folder: ClusterFolder) -> PolledJobs:
    """The same, asked after politely."""
    return PolledJobs(open_jobs(cluster, folder), folder, cluster.profile.poll_s)
