"""Ray: started on this machine or joined, given a study's trials to run through Tune, and left again."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, chdir, contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from types import FrameType

from orchestration.work import PRELOAD, Context

# Set before ray reads them: it logs little, reports nothing home, and asks for a token like any cluster of it.
for _name, _setting in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_AUTH_MODE": "token",
    # A trial trains no slower than `wav2pix train`; Ray's default is the lowest priority but four.
    "RAY_worker_niceness": "0",
    # The workers that Ray starts with itself import what trials need while the driver is still busy.
    "RAY_preload_python_modules": ",".join(PRELOAD),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "-1",
}.items():
    os.environ[_name] = _setting

import ray  # noqa: E402 - reads the settings above

from orchestration.errors import SweepError  # noqa: E402
from orchestration.folders import SweepFolder  # noqa: E402
from orchestration.ledger import Ledger  # noqa: E402
from orchestration.ray_at import LocalRay, RayAt, RemoteRay  # noqa: E402
from orchestration.spec import Resources  # noqa: E402

# Ray reads it once in the life of a process.
TOKEN = secrets.token_hex(32)
# Trials exchange next to nothing through Ray; its default takes a third of the memory.
OBJECT_STORE_BYTES = 100 * 1024**2
PROBLEM_EVERY_S = 1.0


def run_trials(
    ledger: Ledger,
    num_trials: int,
    context: Context,
    cluster: RayAt,
    stop: threading.Event | None,
    problem: Callable[[], str],
) -> None:
    """Run so many of the study's trials; returns when they are done, or after ``stop`` or else Ctrl-C.

    Raises:
        SweepError: this machine has not what a trial needs, or there is a problem.
    """
    with _quiet(context.folder), ThreadPoolExecutor(1) as pool:
        # Tune takes a second to import, which Ray spends waiting for its processes.
        imported = pool.submit(import_module, "orchestration.tuner")
        with _joined(cluster, context), _signals_of(stop) as stopped:
            imported.result()
            from orchestration.tuner import run  # noqa: PLC0415 - see above

            run(ledger, num_trials, context, cluster, _Watch(ledger, stopped, problem))


class _Watch:
    """Whether to stop, asked ten times a second."""

    def __init__(self, ledger: Ledger, stop: threading.Event, problem: Callable[[], str]) -> None:
        self._ledger = ledger
        self._stop = stop
        self._problem = problem
        self._asked = time.monotonic()

    def __call__(self) -> bool:
        """Whether to stop.

        Raises:
            TrackingError: the tracking store is out of reach.
            SweepError: there is a problem.
        """
        self._ledger.check()
        if time.monotonic() - self._asked >= PROBLEM_EVERY_S:
            self._asked = time.monotonic()
            if problem := self._problem():
                raise SweepError(problem)
        return self._stop.is_set()


def _joined(cluster: RayAt, context: Context) -> AbstractContextManager[None]:
    match cluster:
        case LocalRay():
            return _local(context.work.spec.resources, context.scratch)
        case RemoteRay():
            return _remote(cluster, context.scratch)


@contextmanager
def _remote(cluster: RemoteRay, scratch: Path) -> Iterator[None]:
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(cluster.token)
    before = signal.getsignal(signal.SIGTERM)
    try:
        # Ray puts the driver's folder first on the path of every worker, and there may lie other code.
        with chdir(scratch):
            ray.init(
                address=cluster.address,
                configure_logging=True,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        # Ray would end the process on SIGTERM; whoever started the sweep knows better.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _local(resources: Resources, scratch: Path) -> Iterator[None]:
    token = scratch / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    os.environ |= {"RAY_AUTH_TOKEN_PATH": str(token), "RAY_CHDIR_TO_TRIAL_DIR": "0"}
    try:
        ray.init(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),
            num_gpus=None if resources.gpus else 0,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            configure_logging=True,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=str(scratch / "ray"),
        )
        del os.environ["RAY_CHDIR_TO_TRIAL_DIR"]
        _require(resources)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _quiet(folder: SweepFolder) -> Iterator[None]:
    """What Ray prints of its processes goes to a file: trials say themselves why they failed."""
    with folder.ray_log.open("a") as file, redirect_stdout(file):
        yield


def _require(resources: Resources) -> None:
    has: dict[str, float] = ray.cluster_resources()
    for name, wanted in (("CPU", resources.cpus), ("GPU", resources.gpus)):
        if wanted > has.get(name, 0):
            raise SweepError(
                f"a trial asks for {wanted:g} {name}s and this machine has {has.get(name, 0):g}; "
                f"lower 'resources: {{{name.lower()}s: ...}}'"
            )


@contextmanager
def _signals_of(stop: threading.Event | None) -> Iterator[threading.Event]:
    """The event that stops a sweep; without one from outside, one that SIGINT and SIGTERM set.

    A second signal interrupts at once.
    """
    if stop is not None:
        yield stop
        return
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        asked.set()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
