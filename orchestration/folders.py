"""Every path that a sweep uses, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Of the temporary folder that a driver makes for Ray.
SCRATCH_PREFIX = "wav2pix-"


@dataclass(frozen=True)
class Storage:
    """The folder that holds sweeps and, by default, their tracking database."""

    root: Path

    @property
    def database(self) -> Path:
        """The embedded tracking store."""
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Artifacts of the embedded tracking store."""
        return self.root / "mlartifacts"

    def sweep(self, name: str) -> SweepFolder:
        """The folder of one sweep."""
        return SweepFolder(self.root / name)

    def sweeps(self) -> list[SweepFolder]:
        """Every sweep that was ever started here, by name."""
        found = (SweepFolder(path) for path in sorted(self.root.glob("*/")))
        return [folder for folder in found if folder.record.is_file()]


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep; also the root of its artifact store."""

    root: Path

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.root.name

    def make(self) -> None:
        """Make the folder, for its owner only."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)

    @property
    def record(self) -> Path:
        """What was started here: the spec, its identity, where it is tracked."""
        return self.root / "sweep.json"

    @property
    def study(self) -> Path:
        """Optuna's database: parameters, results and state of every trial."""
        return self.root / "study.db"

    @property
    def snapshot(self) -> Path:
        """How every trial stands, for whoever wants to look."""
        return self.root / "trials.json"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the sweep."""
        return self.root / "driver.lock"

    @property
    def open_runs(self) -> Path:
        """There while a driver works, and after it died: runs may be open in the tracking store."""
        return self.root / "open-runs.json"

    @property
    def table(self) -> Path:
        """All trials side by side."""
        return self.root / "trials.csv"

    @property
    def jobs_table(self) -> Path:
        """All jobs of a sweep on a cluster, and what they held."""
        return self.root / "jobs.json"

    @property
    def ray_log(self) -> Path:
        """What Ray said of its processes."""
        return self.root / "ray.log"

    @property
    def registry_lock(self) -> Path:
        """Held by the process that registers a model."""
        return self.root / "registry.lock"

    def trial_lock(self, number: int) -> Path:
        """Held by the process that runs a trial."""
        return self.root / trial_key(number) / ".lock"

    def trial_log(self, number: int) -> Path:
        """What a trial says of itself."""
        return self.root / trial_key(number) / "log.txt"

    @property
    def journal(self) -> Path:
        """What the sweep's own run logs, on its way to the tracking store."""
        return self.root / "tracking"

    def trial_journal(self, number: int) -> Path:
        """What a trial logs, on its way to the tracking store."""
        return self.root / trial_key(number) / "tracking"

    @property
    def cluster(self) -> Path:
        """What belongs to the jobs of a sweep that was submitted to a cluster."""
        return self.root / "cluster"

    @property
    def best_picture(self) -> Path:
        """Faces of the best trial beside the real ones."""
        return self.root / "best.png"


def trial_name(number: int) -> str:
    """``0007``, as in folders and tags."""
    return f"{number:04d}"


def trial_key(number: int) -> str:
    """The key below which the store keeps what a trial leaves."""
    return f"trials/{trial_name(number)}"


def checkpoint_key(number: int, epoch: int) -> str:
    """The key of what is kept of an epoch: checkpoint, history, pictures."""
    return f"{trial_key(number)}/checkpoints/epoch-{epoch:04d}"


def checkpoint_epoch(key: str) -> int:
    """The epoch of a checkpoint key."""
    return int(key.rsplit("-", 1)[-1])
