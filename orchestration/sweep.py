"""Ray: started on this machine, given a study's trials to run through Tune, and stopped again."""

from __future__ import annotations

import logging
import os
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path

# Set before ray reads them: it logs little, reports nothing home, and asks for a token like any cluster of it.
for _name, _setting in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_AUTH_MODE": "token",
    # A trial trains no slower than `wav2pix train`; Ray's default is the lowest priority but four.
    "RAY_worker_niceness": "0",
    # The workers that Ray starts with itself import what trials need while the driver is still busy.
    "RAY_preload_python_modules": "orchestration.trial,orchestration.tracking",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "-1",
    # The study is the state of a sweep; Tune's own snapshots are never read.
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
}.items():
    os.environ[_name] = _setting

import ray  # noqa: E402 - reads the settings above

from orchestration.errors import SweepError  # noqa: E402
from orchestration.folders import SweepFolder  # noqa: E402
from orchestration.ledger import Ledger  # noqa: E402
from orchestration.session import Context  # noqa: E402
from orchestration.spec import Resources  # noqa: E402

# Ray reads it once in the life of a process.
TOKEN = secrets.token_hex(32)
# Trials exchange next to nothing through Ray; its default takes a third of the memory.
OBJECT_STORE_BYTES = 100 * 1024**2


def run_trials(ledger: Ledger, num_trials: int, context: Context) -> None:
    """Run so many of the study's trials on this machine; returns when they are done, or after Ctrl-C.

    Raises:
        SweepError: the machine has not what a trial needs.
    """
    with _quiet(context.folder), ThreadPoolExecutor(1) as pool:
        # Tune takes a second to import, which Ray spends waiting for its processes.
        imported = pool.submit(import_module, "orchestration.trial")
        with _cluster(context.work.spec.resources, context.scratch), _terminate_as_interrupt():
            imported.result()
            _tune(ledger, num_trials, context)


def _tune(ledger: Ledger, num_trials: int, context: Context) -> None:
    from ray import tune  # noqa: PLC0415 - see run_trials
    from ray.tune.execution import class_cache  # noqa: PLC0415

    from orchestration.schedule import StudyScheduler, TrackingWatch  # noqa: PLC0415
    from orchestration.search import StudySearcher  # noqa: PLC0415
    from orchestration.trial import TrialActor  # noqa: PLC0415

    # Tune gives every actor an environment variable for the sake of another library, and Ray gives an actor
    # with variables of its own a new process, though it has idle ones ready.
    class_cache.DEFAULT_ENV_VARS.clear()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    spec = context.work.spec
    tune.run(
        tune.with_parameters(TrialActor, context=context),
        name="tune",
        storage_path=str(context.scratch / "tune"),
        search_alg=StudySearcher(ledger, num_trials),
        scheduler=StudyScheduler(ledger),
        num_samples=-1,
        max_concurrent_trials=min(spec.max_concurrent, num_trials),
        resources_per_trial={"cpu": spec.resources.cpus, "gpu": spec.resources.gpus},
        max_failures=spec.max_failures,
        reuse_actors=True,
        callbacks=[TrackingWatch(ledger)],
        raise_on_failed_trial=False,
        verbose=0,
    )


@contextmanager
def _cluster(resources: Resources, scratch: Path) -> Iterator[None]:
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
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM stops a sweep as Ctrl-C does: Tune ends its trials and returns."""
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
