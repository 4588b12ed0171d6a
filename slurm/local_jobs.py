"""Jobs as processes of this machine: the same path as on SLURM, for a laptop."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from submitit import LocalExecutor
from submitit.local.local import LocalJob

from slurm.body import preamble, python_command
from slurm.command import clean_environment
from slurm.errors import SchedulerError
from slurm.folder import Cluster, ClusterFolder
from slurm.job import Ids, JobList, Kind
from slurm.local_record import LocalRecord, born, cancel_mark, load_record, load_records, new_record
from slurm.private import FILE_MODE, write_private


class LocalJobs:
    """The jobs of one sweep on this machine; what is known of them is in files, for every process alike."""

    def __init__(self, cluster: Cluster, folder: ClusterFolder) -> None:
        self._cluster = cluster
        self._folder = folder
        self._keepers: list[subprocess.Popen[bytes]] = []

    @property
    def max_jobs(self) -> int | None:
        """Nobody counts."""
        return None

    def submit(self, kind: Kind, function: Callable[[], None], count: int = 1) -> Ids:
        """Start processes that outlive this one."""
        self._folder.create()
        executor = _Executor(self._folder.jobs, python_command(self._cluster, self._folder, kind), self._start)
        ids = []
        for _ in range(count):
            job = executor.submit_as(kind, function)
            job.paths.submitted_pickle.chmod(FILE_MODE)
            ids.append(str(job.job_id))
        return ids

    def cancel(self, ids: Sequence[str]) -> None:
        """SIGTERM to all processes of each job, SIGKILL to those that stay; returns at once."""
        for id in ids:
            write_private(cancel_mark(self._folder.jobs, id), b"")
            self._signal(id, signal.SIGTERM)

    def list(self) -> JobList:
        """Every job of the sweep."""
        self._keepers = [keeper for keeper in self._keepers if keeper.poll() is None]
        return [record.as_job() for record in load_records(self._folder.jobs)]

    def requeue(self, id: str) -> None:
        """End the body of a job and start it again."""
        if not self._signal(id, signal.SIGUSR1):
            raise SchedulerError(f"local job {id} does not run")

    def script(self, kind: Kind) -> str:
        """Nothing is submitted to anybody."""
        del kind
        return ""

    def _start(self, kind: Kind, command: str) -> str:
        """Start a job's keeper and return the job's id."""
        jobs, patience = self._folder.jobs, self._cluster.profile.kill_wait_s
        record = new_record(jobs, kind, self._cluster.profile.worker.gpus if kind == "worker" else 0)
        lines = [*preamble(self._cluster), *_submitit_variables(record), f"exec {command}"]
        write_private(jobs / f"{record.id}_submission.sh", "\n".join([*lines, ""]).encode())
        with (jobs / f"{record.id}_keeper.out").open("ab") as log:
            keeper = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "slurm.keeper", str(jobs), record.id, str(patience)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._cluster.cwd,
                env=clean_environment(),
                start_new_session=True,
            )
        self._keepers.append(keeper)
        return record.id

    def _signal(self, id: str, number: signal.Signals) -> bool:
        """Send a signal to a job's keeper; whether there is one."""
        record = load_record(self._folder.jobs, id)
        if record is None or not record.is_alive or record.keeper is None:
            return False
        # A descriptor stays that process's, whoever gets its number next.
        try:
            handle = os.pidfd_open(record.keeper)
        except ProcessLookupError:
            return False
        try:
            if born(record.keeper) != record.born:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


class _Executor(LocalExecutor):
    """submitit's, with a keeper in place of its own parent process, which dies with the shell."""

    def __init__(self, folder: Path, python: str, start: Callable[[Kind, str], str]) -> None:
        super().__init__(folder, python=python)
        self._start = start
        self._kind: Kind = "worker"

    def submit_as(self, kind: Kind, function: Callable[[], None]) -> LocalJob[None]:
        """Start a job of this kind."""
        self._kind = kind
        job = self.submit(function)
        assert isinstance(job, LocalJob)
        return job

    def _submit_command(self, command: str) -> LocalJob[Any]:
        return LocalJob(folder=self.folder, job_id=self._start(self._kind, command))


def _submitit_variables(record: LocalRecord) -> list[str]:
    """Lines that tell submitit in the body which job it is in, and CUDA which GPUs are the job's."""
    values = {
        "SUBMITIT_EXECUTOR": "local",
        "SUBMITIT_LOCAL_JOB_ID": record.id,
        "SUBMITIT_LOCAL_NTASKS": "1",
        "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
        "SUBMITIT_LOCAL_NODEID": "0",
        "SUBMITIT_LOCAL_LOCALID": "0",
        "SUBMITIT_LOCAL_GLOBALID": "0",
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, record.devices)),
    }
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
