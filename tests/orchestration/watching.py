"""Watchers of sweeps, and a way to run one beside a test that does something to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from standin import StandInTrainer

from orchestration.driver import Plan, Result, run_sweep
from orchestration.ray_at import RemoteRay
from orchestration.records import TrialRecord

DEADLINE_S = 120.0


class Nobody:
    """Watches nothing."""

    def started(self, record: TrialRecord) -> None: ...
    def advanced(self, record: TrialRecord) -> None: ...
    def ended(self, record: TrialRecord) -> None: ...


class Latest:
    """Knows how every trial stands."""

    def __init__(self) -> None:
        self.records: dict[int, TrialRecord] = {}

    def started(self, record: TrialRecord) -> None:
        self.records[record.number] = record

    advanced = ended = started

    def epochs(self, number: int) -> int:
        return self.records[number].progress.epochs if number in self.records else 0


@contextmanager
def running(
    plan: Plan, trainer: StandInTrainer, ray_at: RemoteRay, problem: Callable[[], str] = str
) -> Iterator[tuple[Latest, Callable[[], Result], threading.Event]]:
    """A sweep that runs during the block: how it stands, how to wait for its end, and how to stop it."""
    latest, stop = Latest(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future: Future[Result] = pool.submit(run_sweep, plan, latest, trainer, ray_at, stop, problem)
        try:
            yield latest, lambda: future.result(DEADLINE_S), stop
        finally:
            stop.set()


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {deadline_s} s"
        time.sleep(0.05)
