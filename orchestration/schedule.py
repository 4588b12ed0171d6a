"""The scheduler that Tune asks whether a trial goes on: a thin door to the study's pruner.

Tune's own schedulers keep their rungs in memory and tell a stopped trial COMPLETE. Here every decision is in
the study, so it outlives the driver and the sampler learns from it.
"""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from orchestration.ledger import Ledger


class StudyScheduler(FIFOScheduler):
    """Starts trials in their order and stops those that the study prunes."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # ray is half typed
        self._ledger = ledger

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The next one that is pending; one that is paused waits for a verdict."""
        trials: list[Trial] = tune_controller.get_trials()
        return next((trial for trial in trials if trial.status == Trial.PENDING), None)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """After each epoch but the last."""
        del tune_controller
        prune = self._ledger.report(trial.trial_id, result["report"])
        return TrialScheduler.STOP if prune else TrialScheduler.CONTINUE
