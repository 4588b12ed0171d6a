"""The part of a sweep's folder that is about its cluster: every path of it, and what is known of it."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slurm.errors import SlurmError
from slurm.private import FOLDER_MODE, read_if_there, write_private
from slurm.profile import ClusterProfile, LocalProfile, SlurmProfile


@dataclass(frozen=True)
class ClusterFolder:
    """All that is here is the user's alone: folders of mode 0700, files of mode 0600."""

    root: Path

    def create(self) -> None:
        """Make the folders that are not there yet."""
        for folder in (self.root, self.jobs, self.workers, self.code):
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            folder.chmod(FOLDER_MODE)

    @property
    def record(self) -> Path:
        """A :class:`Cluster`: where the sweep runs."""
        return self.root / "cluster.json"

    @property
    def token(self) -> Path:
        """Ray's token."""
        return self.root / "token"

    @property
    def variables(self) -> Path:
        """Variables that jobs set for themselves, such as credentials; see :mod:`slurm.handover`."""
        return self.root / "variables.json"

    @property
    def head(self) -> Path:
        """Address and job of the present head; not there when there is none."""
        return self.root / "head.json"

    @property
    def jobs(self) -> Path:
        """submitit's folder: scripts, pickles, logs."""
        return self.root / "jobs"

    def log(self, job: str) -> Path:
        """What a job has written to its output."""
        return self.jobs / f"{job}_0_log.out"

    @property
    def history(self) -> Path:
        """All jobs of the sweep as the last poll saw them."""
        return self.root / "jobs.json"

    @property
    def history_lock(self) -> Path:
        """Held while the history changes."""
        return self.root / "jobs.lock"

    @property
    def workers(self) -> Path:
        """What workers say of their lives."""
        return self.root / "workers"

    def life(self, job: str) -> Path:
        """A :class:`Life`: what one worker says of itself."""
        return self.workers / f"{job}.json"

    @property
    def code(self) -> Path:
        """The frozen packages, below a folder named after their hash."""
        return self.root / "code"

    @property
    def problem(self) -> Path:
        """Why there is no point in submitting more workers; not there when there is one."""
        return self.root / "problem.txt"

    def announce(self, head: Head) -> None:
        """Tell everybody that this is the head now."""
        write_private(self.head, head.model_dump_json().encode())

    def head_now(self) -> Head | None:
        """The present head, if any."""
        content = read_if_there(self.head)
        return Head.model_validate_json(content) if content else None

    def forget_head(self, job: str) -> None:
        """The head of this job is gone; another job's stays."""
        head = self.head_now()
        if head is not None and head.job == job:
            self.head.unlink(missing_ok=True)

    def life_of(self, job: str) -> Life | None:
        """What a worker says of itself, if it ever ran."""
        content = read_if_there(self.life(job))
        return Life(path=self.life(job), **json.loads(content)) if content else None

    def give_up(self, why: str) -> None:
        """Leave word that more workers would be of no use."""
        write_private(self.problem, why.encode())

    def problem_now(self) -> str | None:
        """Why more workers would be of no use, if so."""
        content = read_if_there(self.problem)
        return content.decode() if content else None

    def forget_problem(self) -> None:
        """Somebody submitted again: the cause may be mended."""
        self.problem.unlink(missing_ok=True)


class Head(BaseModel):
    """The head of the sweep's Ray cluster: where it listens (``host:port``), its job, and since when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str
    job: str
    since: float


@dataclass
class Life:
    """A worker's own account of its life; times are unix seconds.

    Attributes:
        path: where it is kept.
        devices: CUDA_VISIBLE_DEVICES as the scheduler set it.
        started: when the worker began, before Ray.
        joined: when its Ray node was up.
        left: when it was over.
        why: why it left.
    """

    path: Path
    job: str
    host: str
    started: float
    devices: str = ""
    joined: float | None = None
    left: float | None = None
    why: str = ""

    def save(self) -> None:
        """Write it down."""
        content = asdict(self)
        del content["path"]
        write_private(self.path, json.dumps(content).encode())


class Cluster(BaseModel):
    """Where a sweep runs, and with what.

    Attributes:
        name: the sweep's.
        id: 8 hexadecimal digits; with the name it makes the names of the jobs.
        profile: as it was when the sweep was submitted.
        python: interpreter of the controller, and of workers that run in no container.
        code: the frozen packages; none runs what is installed.
        cwd: where the jobs start.
        preload: modules that the processes of trials import before they are needed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    id: str
    profile: ClusterProfile
    python: str
    code: Path | None = None
    cwd: Path
    preload: tuple[str, ...] = ()

    @classmethod
    def new(
        cls,
        name: str,
        profile: SlurmProfile | LocalProfile,
        *,
        code: Path | None,
        cwd: Path,
        preload: tuple[str, ...] = (),
    ) -> Cluster:
        """A cluster that no sweep has yet."""
        return cls(
            name=name,
            id=secrets.token_hex(4),
            profile=profile,
            python=profile.outer_python or sys.executable,
            code=code,
            cwd=cwd.absolute(),
            preload=preload,
        )

    def job_name(self, kind: str) -> str:
        """What ``squeue`` calls the jobs of this sweep."""
        name = f"wav2pix-{self.name}-{self.id}"
        return f"{name}-controller" if kind == "controller" else name

    def save(self, folder: ClusterFolder) -> None:
        """Write ``cluster.json``."""
        folder.create()
        write_private(folder.record, self.model_dump_json(indent=2).encode() + b"\n")

    @classmethod
    def load(cls, folder: ClusterFolder) -> Cluster:
        """Read ``cluster.json``.

        Raises:
            SlurmError: the sweep was never submitted to a cluster, or the file is damaged.
        """
        try:
            return cls.model_validate_json(folder.record.read_bytes())
        except FileNotFoundError:
            raise SlurmError(
                f"{folder.root.parent.name}: not submitted to a cluster; wav2pix sweep submit does it"
            ) from None
        except (OSError, ValidationError) as error:
            raise SlurmError(f"{folder.record}: cannot be read: {error}") from None
