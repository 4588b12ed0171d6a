"""The sweep file: what is searched, how, and where it goes.

:func:`load_spec` parses a file into a :class:`SweepSpec`; all that it says is checked against
:class:`wav2pix.config.TrainConfig` before anything starts, and every error names file and line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from orchestration.secrets import has_password
from orchestration.storage import Artifacts
from wav2pix.config import PresetName

Scalar = bool | int | float | str | None


class Part(BaseModel):
    """Base of every part of a sweep file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _as_type(value: Any) -> Any:
    """``asha`` is short for ``{type: asha}``."""
    return {"type": value} if isinstance(value, str) else value


Values = Annotated[tuple[Scalar, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Parameter(Part):
    """One searched setting.

    Attributes:
        when: settings that are searched too, with the value, or the list of values, that each must have
            for this one to exist at all.
    """

    when: dict[str, Values] = {}


class Uniform(Parameter):
    """A number between two bounds, or every ``step`` from the lower one."""

    type: Literal["uniform"]
    low: float
    high: float
    step: float | None = Field(None, gt=0)


class LogUniform(Parameter):
    """A number whose logarithm is uniform."""

    type: Literal["log_uniform"]
    low: float = Field(gt=0)
    high: float


class Integer(Parameter):
    """A whole number between two bounds, both included."""

    type: Literal["integer"]
    low: int
    high: int
    step: int = Field(1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _log_is_plain(self) -> Integer:
        if self.log and (self.low < 1 or self.step != 1):
            raise ValueError("with 'log', 'low' must be at least 1 and 'step' 1")
        return self


class Categorical(Parameter):
    """One of some values, which may be lists."""

    type: Literal["categorical"]
    choices: tuple[Any, ...] = Field(min_length=1)


AnyParameter = Annotated[Uniform | LogUniform | Integer | Categorical, Field(discriminator="type")]


class TpeSampler(Part):
    """Tree-structured Parzen estimator, multivariate; also for several objectives."""

    type: Literal["tpe"] = "tpe"
    startup_trials: int = Field(10, ge=1, description="random trials before the first estimate")


class RandomSampler(Part):
    """Independent draws."""

    type: Literal["random"] = "random"


class CmaEsSampler(Part):
    """CMA-ES; conditional and categorical parameters are drawn at random."""

    type: Literal["cmaes"] = "cmaes"
    startup_trials: int = Field(1, ge=1)


class GpSampler(Part):
    """Gaussian process."""

    type: Literal["gp"] = "gp"
    startup_trials: int = Field(10, ge=1)


class QmcSampler(Part):
    """Quasi-random Sobol sequence; conditional and categorical parameters are drawn at random."""

    type: Literal["qmc"] = "qmc"


class GridSampler(Part):
    """Every combination once, in order; parameters must be categorical or have a step."""

    type: Literal["grid"] = "grid"


class Nsga2Sampler(Part):
    """Genetic search for several objectives."""

    type: Literal["nsga2"] = "nsga2"
    population: int = Field(50, ge=2)


AnySampler = Annotated[
    TpeSampler | RandomSampler | CmaEsSampler | GpSampler | QmcSampler | GridSampler | Nsga2Sampler,
    Field(discriminator="type"),
]


class AshaScheduler(Part):
    """Asynchronous successive halving: at 1, 3, 9, ... epochs the best third goes on."""

    type: Literal["asha"] = "asha"
    min_epochs: int = Field(1, ge=1)
    reduction_factor: int = Field(3, ge=2)

    def rung(self, epochs: int) -> int:
        """How many times a trial of so many epochs was compared with others."""
        rung, at = 0, self.min_epochs
        while at <= epochs:
            rung, at = rung + 1, at * self.reduction_factor
        return rung


class HyperbandScheduler(Part):
    """Successive halving with several first rungs at once."""

    type: Literal["hyperband"] = "hyperband"
    min_epochs: int = Field(1, ge=1)
    reduction_factor: int = Field(3, ge=2)


class MedianScheduler(Part):
    """Stops a trial whose best so far is worse than the median of the others at the same epoch."""

    type: Literal["median"] = "median"
    min_epochs: int = Field(1, ge=1)
    startup_trials: int = Field(4, ge=1)


class NoScheduler(Part):
    """Every trial runs to its end."""

    type: Literal["none"] = "none"


AnyScheduler = Annotated[
    AshaScheduler | HyperbandScheduler | MedianScheduler | NoScheduler, Field(discriminator="type")
]


class Objective(Part):
    """A metric of an epoch, and which way is better."""

    metric: str
    direction: Literal["minimize", "maximize"]

    def better(self, value: float, than: float) -> bool:
        """Whether ``value`` beats ``than``; nothing that is not a number does."""
        return value < than if self.direction == "minimize" else value > than


class Resources(Part):
    """What one trial takes."""

    cpus: float = Field(1, gt=0)
    gpus: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _several_gpus_are_whole(self) -> Resources:
        if self.gpus > 1 and self.gpus % 1:
            raise ValueError("a trial takes a fraction of one GPU or whole GPUs")
        return self


def _no_password(uri: str | None) -> str | None:
    if uri and has_password(uri):
        raise ValueError("an address without password: MLflow reads MLFLOW_TRACKING_USERNAME and _PASSWORD")
    return uri


class Tracking(Part):
    """Where runs are tracked; without a URI in an SQLite file in the storage folder."""

    uri: Annotated[str | None, AfterValidator(_no_password)] = None
    offline: bool = Field(False, description="send nothing; `wav2pix sweep sync` does later")
    system_metrics: bool = Field(True, description="log how busy CPU, memory and GPUs are")


def _safe_name(name: str) -> str:
    if not name or name[0] in ".-_" or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
        raise ValueError("letters, digits, '-', '_' and '.' only, beginning with a letter or digit")
    return name


class SweepSpec(Part):
    """A sweep file. ``sweeps/quick.yaml`` explains every field."""

    name: Annotated[str, AfterValidator(_safe_name)]
    data: Path
    preset: PresetName
    settings: dict[str, Any] = {}
    search: dict[str, AnyParameter] = Field(min_length=1)
    sampler: Annotated[AnySampler, BeforeValidator(_as_type)] = TpeSampler()
    scheduler: Annotated[AnyScheduler, BeforeValidator(_as_type)] = NoScheduler()
    objective: Objective | None = None
    objectives: tuple[Objective, ...] = ()
    trials: int = Field(ge=1)
    start_with: tuple[dict[str, Any] | Literal["default"], ...] = ()
    max_concurrent: int = Field(1, ge=1)
    resources: Resources = Resources()
    max_failures: int = Field(0, ge=0, description="times that a trial may fail and go on from its checkpoint")
    epochs: int = Field(ge=1)
    seed: int = Field(0, ge=0)
    storage: Path = Path("runs")
    artifacts: Artifacts | None = None
    tracking: Tracking = Tracking()
    pictures_every: int | None = Field(None, ge=1, description="epochs; without it about five times a trial")

    @property
    def goals(self) -> tuple[Objective, ...]:
        """The objectives, one or several."""
        return self.objectives or ((self.objective,) if self.objective else ())

    @property
    def picture_interval(self) -> int:
        """Epochs between pictures."""
        return self.pictures_every or max(1, self.epochs // 4)
