"""What a trial or a driver logs to: everything goes to a journal first, and from there to the store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.secrets import masked, without_secrets
from orchestration.tracking.journal import Artifact, Dataset, Journal, Metrics, Model, Params, Picture, Tags
from orchestration.tracking.sender import Sender

# Logged with every epoch, so that a run tells how far it has been logged.
EPOCH = "epoch"
# MLflow shows what begins so on a page of its own.
SYSTEM = "system/"


class RunLog:
    """A run, as who logs to it sees it: nothing here waits for the tracking store.

    Args:
        journal: of the run.
        sender: sends what is in it; without one it stays there until somebody does.
        counter: name of the metric that says how far the run is.
    """

    def __init__(self, journal: Journal, sender: Sender | None = None, counter: str = EPOCH) -> None:
        self._journal = journal
        self._sender = sender
        self._counter = counter
        self._params: dict[str, str] = {}
        self._last_epoch = 0
        self._system_step = 0
        self._pictures: set[tuple[str, int]] = set()
        for entry in journal.entries():
            match entry:
                case Params(values=values):
                    self._params |= values
                case Metrics(step=step, values=values) if counter in values:
                    self._last_epoch = max(self._last_epoch, step)
                case Picture(key=key, step=step):
                    self._pictures.add((key, step))
                case Metrics(step=step, values=values) if any(name.startswith(SYSTEM) for name in values):
                    self._system_step = max(self._system_step, step)
        if sender is not None and not journal.is_sent:
            sender.wake()

    @property
    def last_epoch(self) -> int:
        """The newest epoch that was logged, whether it arrived or not; 0 if none was."""
        return self._last_epoch

    @property
    def problems(self) -> list[str]:
        """What the store refused for good, for a person to read."""
        return list(self._sender.problems) if self._sender else []

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch; of one that was logged before, nothing."""
        if epoch <= self._last_epoch:
            return
        self._last_epoch = epoch
        values = {name: float(value) for name, value in metrics.items()} | {self._counter: float(epoch)}
        self._append(Metrics(step=epoch, time_ms=_now_ms(), values=values))

    def log_more(self, metrics: Mapping[str, float]) -> None:
        """Log further metrics of the newest epoch."""
        values = {name: float(value) for name, value in metrics.items()}
        self._append(Metrics(step=self._last_epoch, time_ms=_now_ms(), values=values))

    def log_system(self, metrics: Mapping[str, float]) -> None:
        """Log how busy the machine is."""
        self._system_step += 1
        values = {f"{SYSTEM}{name}": float(value) for name, value in metrics.items()}
        entry = Metrics(step=self._system_step, time_ms=_now_ms(), values=values)
        self._journal.append([entry], sync=False)
        self._wake()

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Log settings and tags. A setting that has another value than before becomes a tag with its epoch."""
        new = {key: str(value) for key, value in masked(params).items()}
        changed = {key: value for key, value in new.items() if self._params.get(key, value) != value}
        new = {key: value for key, value in new.items() if key not in self._params}
        self._params |= new
        notes = {
            f"wav2pix.changed.{key}": f"{value} after epoch {self._last_epoch}"
            for key, value in changed.items()
        }
        entries = [Params(values=new)] if new else []
        self._append(*entries, *([Tags(values={**masked(tags), **notes})] if tags or notes else []))

    def attach(self, source: Path, folder: str = "") -> None:
        """Keep a file, or what is in a folder, as artifacts in ``folder``. The source may go at once."""
        self._append(Artifact(file=self._journal.add_file(source), folder=folder))

    def attach_text(self, text: str, name: str) -> None:
        """Keep a text as the file ``name``, without the secrets in it."""
        with tempfile.TemporaryDirectory(prefix="wav2pix-") as temporary:
            path = Path(temporary) / name
            path.write_text(without_secrets(text))
            self.attach(path)

    def picture(self, source: Path, key: str, epoch: int) -> None:
        """Keep a picture as it was after an epoch; one of an epoch is enough."""
        if (key, epoch) in self._pictures:
            return
        self._pictures.add((key, epoch))
        file = self._journal.add_file(source)
        self._append(Picture(file=file, key=key, step=epoch, time_ms=_now_ms()))

    def model(self, source: Path) -> None:
        """Keep a model that can be loaded and registered."""
        self._append(Model(file=self._journal.add_file(source)))

    def dataset(self, name: str, digest: str, source: str, context: str, profile: Mapping[str, int]) -> None:
        """Say what the run was trained on."""
        entry = Dataset(name=name, digest=digest, source=source, context=context, profile=dict(profile))
        if entry not in self._journal.entries():
            self._append(entry)

    def close(self, timeout_s: float) -> bool:
        """Wait until the store has everything, or the time is up; whether it has. Nothing may follow."""
        return self._sender.close(timeout_s) if self._sender else self._journal.is_sent

    def _append(self, *entries: Any) -> None:
        if entries:
            self._journal.append(entries)
            self._wake()

    def _wake(self) -> None:
        if self._sender:
            self._sender.wake()


def _now_ms() -> int:
    return int(time.time() * 1000)
