"""What tracking takes and what it costs: results a second into a real MLflow server, and how training slows.

    python -m benchmarks.tracking [--part rate] [--part training]

Starts PostgreSQL, an S3 server and an MLflow server on both, in a temporary folder. Rate: trials in several
processes log epochs as fast as they can, from the first until the last is sent; what has arrived is counted in
the database. Training: rounds of the same small training with all tracking on and with none alternate in one
process, first with the server there, then with it killed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.tracking_training import measure_training, new_sweep, opened_log
from deploy.local import Services
from deploy.mlflow_server import MLflow
from orchestration.runs import Target
from wav2pix.data.synth import SynthArguments, synthesise
from wav2pix.pictures import grid, save_picture

# With the number of the epoch, which is logged too.
NUM_METRICS = 25
PICTURES_EVERY = 20
GOAL_RATE = 1000
TIMEOUT_S = 600.0
PARTS = ("rate", "training")
CPUS = psutil.cpu_count() or 1
# Busy enough to be what limits the rest.
FULL = 0.85
# Names in the table of CPU seconds, beside those of the servers.
TRIALS, ALL = "the trials", "all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="default: both")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=200, help="that each trial logs")
    parser.add_argument("--rounds", type=int, default=6, help="of training, of each kind")
    parser.add_argument(
        "--training-epochs", type=int, default=3, choices=range(2, 100), metavar="N", help="in a round"
    )
    parser.add_argument("--seconds", type=int, default=16, help="of each of the 24 recordings to train on")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="wav2pix-services-") as services_folder,
        tempfile.TemporaryDirectory(prefix="wav2pix-benchmark-") as name,
        Services.start(Path(services_folder)) as services,
    ):
        folder = Path(name)
        data = synthesise(folder / "data", SynthArguments(4, 6, options.seconds, 0, 64))
        # As large as the pictures of a trial.
        save_picture(folder / "pictures.png", grid(data.faces[:64], 8))
        if "rate" in (options.part or PARTS):
            for pictures_every in (PICTURES_EVERY, 0):
                measure_rate(services, folder, pictures_every, options)
        if "training" in (options.part or PARTS):
            measure_training(services, folder, data, options.rounds, options.training_epochs)


@dataclass
class Told:
    """What a process of trials has to tell; moments are of the clock that all processes share."""

    begun: float
    logged: float
    sent: float
    cpu_s: float
    waits_s: list[float]
    problems: list[str]


def log_trials(
    target: Target, folder: Path, numbers: range, epochs: int, every: int, gate: Any, told: Any
) -> None:
    """A process of trials, which begins when all others do: each epoch of each, as fast as it can."""
    picture = folder / "pictures.png"
    values = {f"loss_{index}": 1 / (index + 3) for index in range(NUM_METRICS - 1)}
    waits_s: list[float] = []
    with ExitStack() as stack:
        logs = [stack.enter_context(opened_log(target, folder, number)) for number in numbers]
        gate.wait(TIMEOUT_S)
        begun, cpu_s = time.monotonic(), time.process_time()
        for epoch in range(1, epochs + 1):
            metrics = {name: value / epoch for name, value in values.items()}
            for log in logs:
                started = time.perf_counter()
                log.log(epoch, metrics)
                waits_s.append(time.perf_counter() - started)
                if every and epoch % every == 0:
                    log.picture(picture, "faces", epoch)
        logged = time.monotonic()
        sent = {number: log.close(TIMEOUT_S) for number, log in zip(numbers, logs, strict=True)}
        problems = [f"trial {number} was not sent" for number, is_sent in sent.items() if not is_sent]
        problems += [problem for log in logs for problem in log.problems]
        cpu_s = time.process_time() - cpu_s
        told.put(Told(begun, logged, time.monotonic(), cpu_s, waits_s, problems))


@contextmanager
def running_trials(
    target: Target, folder: Path, every: int, options: argparse.Namespace
) -> Iterator[tuple[Any, Any]]:
    """The gate at which all processes wait for whoever enters last, and the queue of what they tell."""
    context = multiprocessing.get_context("spawn")
    gate, told = context.Barrier(options.processes + 1), context.Queue()
    shares = [range(first, options.trials, options.processes) for first in range(options.processes)]
    arguments = [(target, folder, share, options.epochs, every, gate, told) for share in shares]
    processes = [context.Process(target=log_trials, args=each, daemon=True) for each in arguments]
    for process in processes:
        process.start()
    try:
        yield gate, told
        for process in processes:
            process.join(10)
    finally:
        for process in processes:
            process.kill()


def measure_rate(services: Services, folder: Path, every: int, options: argparse.Namespace) -> None:
    """Log, count what arrived, and print."""
    target = new_sweep(services, f"rate-{every}")
    points = count(services)
    with running_trials(target, folder, every, options) as (gate, told):
        gate.wait(TIMEOUT_S)
        before = cpu_seconds(services)
        try:
            all_told = [told.get(timeout=TIMEOUT_S) for _ in range(options.processes)]
        except queue.Empty:
            sys.exit(f"the trials have not sent everything after {TIMEOUT_S:.0f} s")
        after = cpu_seconds(services)
    results = options.trials * options.epochs
    arrived = count(services) - points
    problems = [problem for told in all_told for problem in told.problems]
    if problems or arrived != results * NUM_METRICS:
        sys.exit(f"{arrived} of {results * NUM_METRICS} metrics arrived; {problems[:3]}")
    wall_s = max(told.sent for told in all_told) - min(told.begun for told in all_told)
    used = {name: after[name] - before[name] for name in after}
    used[TRIALS] = sum(told.cpu_s for told in all_told)
    print_rate(options, every, all_told, wall_s)
    print_shares(used, wall_s)


def print_rate(options: argparse.Namespace, every: int, all_told: list[Told], wall_s: float) -> None:
    """What went through, and what a trial waited for."""
    results = options.trials * options.epochs
    pictures = f"a picture every {every}" if every else "no pictures"
    print(
        f"\n{options.trials} trials in {options.processes} processes, {options.epochs} epochs of "
        f"{NUM_METRICS} metrics each, {pictures}; {CPUS} CPUs"
    )
    print(f"results a second    {results / wall_s:8.0f}  (goal {GOAL_RATE}) {results} in {wall_s:.1f} s")
    print(f"metrics a second    {results * NUM_METRICS / wall_s:8.0f}")
    logged_s = statistics.median(told.logged - told.begun for told in all_told)
    print(f"logged after        {logged_s:8.1f} s")
    waits_ms = sorted(1000 * wait for told in all_told for wait in told.waits_s)
    print(f"a call of log       {statistics.median(waits_ms):8.2f} ms median", end="")
    print(f", {waits_ms[int(0.99 * len(waits_ms))]:.1f} ms p99, {waits_ms[-1]:.1f} ms longest")


def print_shares(used: dict[str, float], wall_s: float) -> None:
    """Who used the CPUs, and what that says about the limit."""
    all_s = used.pop(ALL)
    used["others"] = max(0.0, all_s - sum(used.values()))
    print(f"CPU seconds, and the share of {wall_s:.1f} s on {CPUS} CPUs")
    for name, seconds in used.items():
        print(f"  {name:17} {seconds:8.1f}  {seconds / wall_s / CPUS:4.0%}")
    busy, server = all_s / wall_s / CPUS, used[MLflow.name] / wall_s
    most = max(used, key=lambda name: used[name])
    if busy > FULL:
        limit = f"the CPUs, {busy:.0%} busy, most of all with {most}"
    elif server > FULL:
        limit = f"{MLflow.name}, whose only process is busy {server:.0%} of the time"
    else:
        limit = f"no CPU ({busy:.0%} busy): waiting for answers, most of all of {most}"
    print(f"the bottleneck: {limit}")


def count(services: Services) -> int:
    """Values of metrics in the database."""
    with services.postgres.connect() as connection:
        ((number,),) = connection.execute("SELECT count(*) FROM metrics").fetchall()
    return int(number)


def cpu_seconds(services: Services) -> dict[str, float]:
    """What each server has used so far, with those of its processes that have ended, and what everybody has."""
    used: dict[str, float] = {}
    for server in (services.mlflow, services.postgres, services.s3):
        times = []
        for pid in (pid for daemon in server.daemons for pid in daemon.pids()):
            with suppress(psutil.NoSuchProcess):
                times.append(sum(psutil.Process(pid).cpu_times()[:4]))
        used[server.name] = sum(times)
    everybody = psutil.cpu_times()
    return used | {ALL: sum(everybody) - everybody.idle - everybody.iowait}


if __name__ == "__main__":
    main()
