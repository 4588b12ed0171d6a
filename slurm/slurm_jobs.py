"""Jobs of SLURM: scripts and pickles are submitit's, and every question is one command.

submitit's own way of asking after jobs is not used: it runs sacct, which many sites have not, for single jobs.
"""

from __future__ import annotations

import os
import re
import shlex
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission

from slurm.body import preamble, python_command
from slurm.command import run_command
from slurm.errors import NoAnswer, SchedulerError
from slurm.folder import Cluster, ClusterFolder
from slurm.job import Ids, JobList, Kind
from slurm.private import FILE_MODE, write_private
from slurm.profile import SlurmProfile
from slurm.squeue import ENVIRONMENT, read_queue, squeue_arguments

# Options that ask for GPUs, which a controller has no use for.
GPU_OPTIONS = ("gres", "gres-flags", "gpu-bind", "gpu-freq", "tres-per-task", "exclusive")
# What scancel says of jobs that are no more; it is no failure.
GONE = re.compile(r"invalid job id|already completing or completed", re.IGNORECASE)


class SlurmJobs:
    """The jobs of one sweep in SLURM's queue, recognised by their names."""

    def __init__(self, cluster: Cluster, profile: SlurmProfile, folder: ClusterFolder) -> None:
        self._cluster = cluster
        self._profile = profile
        self._folder = folder
        self._names: dict[str, Kind] = {
            cluster.job_name("worker"): "worker",
            cluster.job_name("controller"): "controller",
        }

    @property
    def max_jobs(self) -> int | None:
        """What the site lets a user queue."""
        return self._profile.max_jobs

    def submit(self, kind: Kind, function: Callable[[], None], count: int = 1) -> Ids:
        """Queue jobs: one array where the profile wants arrays, else one after the other."""
        self._folder.create()
        if self._profile.arrays and count > 1:
            job = self._sbatch(kind, function, count)
            return [f"{job}_{index}" for index in range(count)]
        ids: Ids = []
        for _ in range(count):
            try:
                ids.append(self._sbatch(kind, function, 1))
            except NoAnswer as error:
                raise NoAnswer(str(error), submitted=ids) from None
            except SchedulerError:
                if not ids:
                    raise
                break
        return ids

    def cancel(self, ids: Sequence[str]) -> None:
        """One scancel for all."""
        if not ids:
            return
        try:
            self._run("scancel", *ids, extra={"LC_ALL": "C"})
        except SchedulerError as error:
            lines = str(error).removeprefix("scancel failed: ").splitlines()
            if not all(GONE.search(line) for line in lines):
                raise

    def list(self) -> JobList:
        """One squeue for all."""
        answer = self._run(*squeue_arguments(self._names, os.getuid()), extra=ENVIRONMENT)
        return read_queue(answer, self._names)

    def requeue(self, id: str) -> None:
        """``scontrol requeue``: SLURM ends the job and holds it for a while before it runs again."""
        self._run("scontrol", "requeue", id)

    def script(self, kind: Kind) -> str:
        """The batch script, with UID in place of what names the pickle."""
        return self._script(kind, "UID", 1)

    def _sbatch(self, kind: Kind, function: Callable[[], None], count: int) -> str:
        uid = uuid.uuid4().hex
        pickle = self._folder.jobs / f"{uid}.pkl"
        delayed = DelayedSubmission(function)
        delayed.set_timeout(self._walltime_min(kind), 0)
        pickle.touch(FILE_MODE)
        delayed.dump(pickle)
        script = self._folder.jobs / f"{uid}.sh"
        write_private(script, self._script(kind, uid, count).encode())
        answer = self._run("sbatch", str(script))
        found = re.search(r"job (\d+)", answer)
        if found is None:
            raise NoAnswer(f"sbatch answered what cannot be understood: {answer.strip()!r}")
        return found[1]

    def _script(self, kind: Kind, uid: str, count: int) -> str:
        executor = _Executor(self._folder.jobs, python=python_command(self._cluster, self._folder, kind))
        executor.update_parameters(**self._parameters(kind, uid))
        if count > 1:
            executor.parameters["map_count"] = count
        return executor.script()

    def _parameters(self, kind: Kind, uid: str) -> dict[str, Any]:
        """submitit's parameters of a job; they become lines of its script."""
        profile, worker, controller = self._profile, self._profile.worker, self._profile.controller
        is_worker = kind == "worker"
        cpus = worker.cpus if is_worker else controller.cpus
        memory_gb = worker.memory_gb if is_worker else controller.memory_gb
        gpus = worker.gpus if is_worker and "gres" not in profile.sbatch else 0
        return {
            "job_name": self._cluster.job_name(kind),
            "partition": profile.partition if is_worker else controller.partition or profile.partition,
            "account": profile.account if is_worker else controller.account or profile.account,
            "qos": profile.qos if is_worker else controller.qos or profile.qos,
            "constraint": profile.constraint if is_worker else None,
            "time": self._walltime_min(kind),
            "nodes": 1,
            "ntasks_per_node": 1,
            "cpus_per_task": cpus,
            "gpus_per_node": gpus or None,
            "mem": f"{int(memory_gb * 1024)}M",
            "wckey": None,  # submitit's default is an error where a site keeps a list of them
            "stderr_to_stdout": True,
            "setup": [*preamble(self._cluster), *_link_pickle(self._folder, uid)],
            # A step does not inherit the CPUs of its job since SLURM 22.05.
            "srun_args": [f"--cpus-per-task={cpus}", "--export=ALL"],
            "additional_parameters": self._options(kind, uid),
        }

    def _options(self, kind: Kind, uid: str) -> dict[str, str | int | bool]:
        """The options that submitit has no parameter for."""
        chosen = {
            name: value
            for name, value in self._profile.sbatch.items()
            if value is not False and (kind == "worker" or name not in GPU_OPTIONS)
        }
        return {
            **chosen,
            # A worker that SLURM put back into the queue would come back as a Ray node that Ray took for dead.
            "no-requeue" if kind == "worker" else "requeue": True,
            "chdir": str(self._cluster.cwd),
            "comment": uid,
            "signal": f"USR2@{self._profile.drain_s}",
        }

    def _walltime_min(self, kind: Kind) -> int:
        own = self._profile.controller.walltime_min if kind == "controller" else None
        return own or self._profile.walltime_min

    def _run(self, *arguments: str, extra: dict[str, str] | None = None) -> str:
        return run_command(arguments, self._profile.command_timeout_s, extra)


class _Executor(SlurmExecutor):
    """submitit's, also where there is no SLURM, for the scripts that ``--dry-run`` prints."""

    @classmethod
    def affinity(cls) -> int:
        """submitit refuses to be made where srun is missing."""
        return 2

    def script(self) -> str:
        """The batch script."""
        return str(self._make_submission_file_text(self._submitit_command_str, ""))


def _link_pickle(folder: ClusterFolder, uid: str) -> list[str]:
    """Lines by which a job finds its pickle, even when sbatch's answer with the id never came."""
    return [
        "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}",
        f"ln -sfn {uid}.pkl {shlex.quote(str(folder.jobs))}/${{job}}_submitted.pkl",
    ]
