"""The cluster profile: what a worker takes, how many there may be, and how this site wants its jobs.

``profiles/single-gpu.yaml`` explains every field.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

# sbatch options that a field of the profile stands for, and those that are not the profile's to choose.
FIELD_OF_OPTION = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "time": "walltime_min",
    "mem": "worker.memory_gb",
    "mem-per-cpu": "worker.memory_gb",
    "mem-per-gpu": "worker.memory_gb",
    "cpus-per-task": "worker.cpus",
    "cpus-per-gpu": "worker.cpus",
    "gpus": "worker.gpus",
    "gpus-per-node": "worker.gpus",
    "gpus-per-task": "worker.gpus",
    "signal": "drain_s",
    "array": "arrays",
}
OPTIONS_OF_OURS = (
    "job-name",
    "output",
    "error",
    "open-mode",
    "chdir",
    "requeue",
    "no-requeue",
    "nodes",
    "ntasks",
    "ntasks-per-node",
    "wrap",
    "parsable",
    "wait",
    "test-only",
)
ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Part(BaseModel):
    """Base of every part of a profile: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _one_line(text: str) -> str:
    """Options become lines of a batch script, where a second line would be another command."""
    if not text or not text.isprintable():
        raise ValueError("one line of printable characters")
    return text


Word = Annotated[str, AfterValidator(_one_line)]


class WorkerShape(Part):
    """What one worker job takes: one Ray node."""

    cpus: int = Field(ge=1)
    gpus: int = Field(0, ge=0)
    memory_gb: float = Field(gt=0)


class WorkerCount(Part):
    """Workers at least and at most."""

    min: int = Field(0, ge=0)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> WorkerCount:
        if self.min > self.max:
            raise ValueError("'min' must not be above 'max'")
        return self


class Ports(Part):
    """The ports that Ray may use on a node, both ends included."""

    low: int = Field(ge=1024, le=65535)
    high: int = Field(ge=1024, le=65535)

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Ports:
        if self.low >= self.high:
            raise ValueError("'low' must be below 'high'")
        return self


class ControllerShape(Part):
    """What the controller job takes; what is not said is the worker's."""

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    cpus: int = Field(1, ge=1)
    memory_gb: float = Field(4, gt=0)
    walltime_min: int | None = Field(None, ge=1)


class Container(Part):
    """An apptainer image that workers run in. The controller runs outside of it, where sbatch is."""

    image: Word
    binds: tuple[Word, ...] = ()


class CommonProfile(Part):
    """What every profile says, whatever starts its jobs."""

    worker: WorkerShape
    workers: WorkerCount
    idle_timeout_s: float = Field(60, ge=0)
    drain_s: int = Field(120, ge=1)
    kill_wait_s: float = Field(30, ge=1)
    poll_s: float = Field(10, gt=0)
    head_wait_s: float = Field(300, gt=0)
    scratch: Path = Path("/tmp")  # noqa: S108 - workers make a private folder in it
    setup: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    ports: Ports | None = None
    python: Word | None = None

    @field_validator("environment")
    @classmethod
    def _environment_has_names(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if not ENVIRONMENT_NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no name of a variable")
        return environment

    @property
    def most_workers(self) -> int:
        """Worker jobs that may wait or run at once."""
        return self.workers.max

    @property
    def outer_python(self) -> str | None:
        """The interpreter outside of any container, where one is named."""
        return self.python


class LocalProfile(CommonProfile):
    """Jobs are processes on this machine."""

    scheduler: Literal["local"]


class SlurmProfile(CommonProfile):
    """Jobs are SLURM's."""

    scheduler: Literal["slurm"]
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    walltime_min: int = Field(ge=1)
    controller: ControllerShape = ControllerShape()
    container: Container | None = None
    max_jobs: int | None = Field(None, ge=2, description="a controller and a worker at the least")
    arrays: bool = False
    sbatch: dict[str, bool | int | Word] = {}
    command_timeout_s: float = Field(30, gt=0)

    @property
    def most_workers(self) -> int:
        """Worker jobs that may wait or run at once, beside the controller."""
        return self.workers.max if self.max_jobs is None else min(self.workers.max, self.max_jobs - 1)

    @property
    def outer_python(self) -> str | None:
        """The interpreter outside of the container, where one is named."""
        return None if self.container else self.python

    @model_validator(mode="after")
    def _there_is_time_to_drain(self) -> SlurmProfile:
        shortest = min(self.walltime_min, self.controller.walltime_min or self.walltime_min)
        if self.drain_s >= shortest * 60:
            raise ValueError(f"'drain_s' is {self.drain_s} s, the walltime only {shortest * 60} s")
        return self

    @field_validator("sbatch")
    @classmethod
    def _options_are_not_ours(cls, sbatch: dict[str, bool | int | str]) -> dict[str, bool | int | str]:
        for option in sbatch:
            if option in FIELD_OF_OPTION:
                raise ValueError(f"'{option}' has a field of its own: write '{FIELD_OF_OPTION[option]}'")
            if option in OPTIONS_OF_OURS or not re.fullmatch(r"[a-z][a-z-]+", option):
                raise ValueError(f"'{option}' cannot be chosen")
        return sbatch


ClusterProfile = Annotated[SlurmProfile | LocalProfile, Field(discriminator="scheduler")]
PROFILE: TypeAdapter[SlurmProfile | LocalProfile] = TypeAdapter(ClusterProfile)
