"""What the second half of :mod:`benchmarks.tracking` measures: how much slower training is that is tracked."""

from __future__ import annotations

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deploy.local import Services
from orchestration.runs import Target
from orchestration.session import flatten
from orchestration.tracking.journal import Journal
from orchestration.tracking.mlflow_store import MlflowTracker
from orchestration.tracking.run_log import RunLog
from orchestration.tracking.sender import Sender
from orchestration.tracking.system import SystemSampler
from wav2pix.config import TrainConfig, make_config
from wav2pix.data import Dataset
from wav2pix.train import fit

GOAL_SLOWER = 0.01
# Of a training that is over, for what is left to send.
LAST_WORDS_S = 10.0
CLOCKS = {
    "CPU of its thread": time.thread_time,
    "CPU of its process": time.process_time,
    "wall": time.perf_counter,
}


@contextmanager
def opened_log(target: Target, folder: Path, number: int) -> Iterator[RunLog]:
    """What a trial logs to, with a sender of its own."""
    journal = Journal(folder / f"{target.sweep}-{number}")
    log = RunLog(journal, Sender(journal, partial(MlflowTracker(target).open, number)))
    try:
        yield log
    finally:
        log.close(0)


def new_sweep(services: Services, name: str) -> Target:
    """A sweep of which the server knows."""
    target = Target(services.env["MLFLOW_TRACKING_URI"], name, name)
    MlflowTracker(target).open(None)
    return target


@dataclass
class Spent:
    """Seconds by the clocks of each epoch with all that is logged of it, and of each call that logs."""

    epochs: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    calls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Note how long training waits for a call."""
        started = time.perf_counter()
        yield
        self.calls[name].append(time.perf_counter() - started)


def train(config: TrainConfig, data: Dataset, picture: Path, log: RunLog | None, spent: Spent) -> None:
    """A training, with all that the session of a trial logs or with none of it."""
    before = {name: clock() for name, clock in CLOCKS.items()}
    if log:
        with spent.call("describe"):
            log.describe(flatten(config.model_dump(mode="json")), {"wav2pix.searched": "batch_size"})
    for epoch in fit(config, data):
        if log:
            with spent.call("log"):
                log.log(epoch.number, epoch.metrics)
            with spent.call("picture"):
                log.picture(picture, "faces", epoch.number)
        now = {name: clock() for name, clock in CLOCKS.items()}
        for name in CLOCKS:
            spent.epochs[name].append(now[name] - before[name])
        before = now


def measure_training(services: Services, folder: Path, data: Dataset, rounds: int, epochs: int) -> None:
    """Alternate tracking and none, with the server there and killed, and print."""
    settings = {"runtime.num_threads": 1, "runtime.device": "cpu", "epochs": epochs}
    config, target = make_config("small", settings), new_sweep(services, "training")
    plain = partial(train, config, data, folder / "pictures.png")
    trials = itertools.count()

    def tracked(spent: Spent) -> None:
        with opened_log(target, folder, next(trials)) as log:
            with closing(SystemSampler(log.log_system)):
                plain(log, spent)
            # What is left must not be sent while others are measured.
            log.close(LAST_WORDS_S)

    def alternate(label: str) -> None:
        on, off = Spent(), Spent()
        for index in range(rounds):
            # Whoever comes second may find the machine busier: they take turns.
            for is_on in (True, False) if index % 2 else (False, True):
                tracked(on) if is_on else plain(None, off)
        print_training(label, on, off, len(data.indices("train")) // config.batch_size)

    tracked(Spent())  # warms up
    print(
        f"\nTraining of preset small with 1 thread, {rounds} rounds of {epochs} epochs on and off; tracked are"
    )
    print("the metrics and a picture of every epoch, and the system's metrics")
    alternate("The server is there")
    services.mlflow.kill()
    alternate("The server is killed")


def print_training(label: str, on: Spent, off: Spent, steps: int) -> None:
    """Ratios of medians, and what the calls take."""
    print(f"{label}; ms a step in an epoch of {steps} steps: with tracking, without")
    for name in CLOCKS:
        with_it, without = on.epochs[name], off.epochs[name]
        middle = [1000 * statistics.median(each) / steps for each in (with_it, without)]
        noise = statistics.median(without[::2]) / statistics.median(without[1::2])
        print(f"  {name:18} {middle[0]:8.2f} {middle[1]:8.2f}  ratio {middle[0] / middle[1]:.4f}", end="")
        print(f"  (every other epoch without it against the rest: {noise:.4f})")
    for name, seconds in on.calls.items():
        longest = 1000 * max(seconds)
        print(f"  {name:18} {1000 * statistics.median(seconds):8.2f} ms median, {longest:.1f} ms longest")
    share = sum(map(sum, on.calls.values())) / sum(on.epochs["wall"])
    print(f"  all calls          {share:8.3%} of the wall time (goal: less than {GOAL_SLOWER:.0%})")
