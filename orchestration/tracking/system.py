"""How busy the machine of a trial is: MLflow's own monitors, read now and then."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from orchestration.tracking import client  # noqa: F401 - before mlflow

from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor  # isort: skip
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor  # isort: skip

# As MLflow's own; its variable changes ours too.
EVERY_S = 10.0
VARIABLE = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"


class SystemSampler:
    """Logs CPU, memory and GPUs until it is closed.

    MLflow's own thread is not used: it ends for good at the first request that fails.
    """

    def __init__(self, log: Callable[[Mapping[str, float]], None]) -> None:
        self._log = log
        self._monitors: list[Any] = [CPUMonitor()]
        # Without a driver or its library there is nothing to read.
        with suppress(Exception):
            self._monitors.append(GPUMonitor())
        self._closed = threading.Event()
        self._every_s = float(os.environ.get(VARIABLE) or EVERY_S)
        self._thread = threading.Thread(target=self._work, name="system metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(5)

    def _work(self) -> None:
        while not self._closed.wait(self._every_s):
            self._log(self._sample())

    def _sample(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for monitor in self._monitors:
            with suppress(Exception):
                monitor.collect_metrics()
                values |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        return values
