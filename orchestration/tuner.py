"""Tune, driven step by step, so that a sweep can stop at each of them and every bad end gets a verdict.

``tune.run`` knows one number of failures and counts lost nodes among them. Here they all go before a judge,
and only failures count. What a trial has done is in its checkpoints, so it goes on by starting anew.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Experiment, Trial
from ray.tune.search import ConcurrencyLimiter, SearchGenerator

from orchestration.ledger import Ledger
from orchestration.losses import ActorEnded, Failure, Judge, Loss, Nodes, OneMachine, Waiting
from orchestration.ray_at import LocalRay, RayAt
from orchestration.schedule import StudyScheduler
from orchestration.search import StudySearcher
from orchestration.trial import TrialActor
from orchestration.work import Context

LOOK_EVERY_S = 1.0


def run(ledger: Ledger, num_trials: int, context: Context, cluster: RayAt, stop: Callable[[], bool]) -> None:
    """Run so many of the study's trials; returns when they are done, or as soon as ``stop`` says so."""
    # Tune gives every actor variables of this process: AWS's secrets, which Ray then writes into its logs and
    # into the arguments of the actor's process, where all users see them. Workers have their own. And Ray gives
    # an actor with variables of its own a new process, though it has idle ones ready.
    class_cache.DEFAULT_ENV_VARS.clear()
    class_cache.ENV_VARS_TO_PROPAGATE.clear()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    spec = context.work.spec
    experiment = Experiment(
        "tune",
        tune.with_parameters(TrialActor, context=context),
        num_samples=sys.maxsize,
        storage_path=str(context.scratch / "tune"),
        resources_per_trial={"cpu": spec.resources.cpus, "gpu": spec.resources.gpus},
    )
    searcher = ConcurrencyLimiter(StudySearcher(ledger, num_trials), min(spec.max_concurrent, num_trials))
    search = SearchGenerator(searcher)
    search.add_configurations([experiment])
    judge = Judge(OneMachine() if isinstance(cluster, LocalRay) else Nodes(), time.monotonic)
    tuner = Tuner(
        ledger,
        judge,
        search_alg=search,
        scheduler=StudyScheduler(ledger),
        storage=experiment.storage,
        reuse_actors=True,
    )
    try:
        while not stop() and not tuner.is_over():
            tuner.step()
    finally:
        tuner.end()


class Tuner(TuneController):
    """Tune's controller, which asks the judge about every trial that ends badly.

    Args:
        ledger: counts failures and losses.
        judge: tells them apart.
        settings: Tune's own.
    """

    def __init__(self, ledger: Ledger, judge: Judge, **settings: Any) -> None:
        super().__init__(**settings)
        self._actor_manager = _ActorManager(resource_manager=self._actor_manager._resource_manager)
        self._ledger = ledger
        self._judge = judge
        self._actor_ids: dict[Trial, str] = {}
        self._waiting: dict[Trial, Waiting] = {}
        self._looked = 0.0

    def is_over(self) -> bool:
        """Whether all trials are over."""
        return bool(super().is_finished())  # type: ignore[no-untyped-call]  # ray is half typed

    def end(self) -> None:
        """Stop the trials that still run."""
        super().cleanup()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """One event, or a tenth of a second without any."""
        self._look_again()
        super().step()  # type: ignore[no-untyped-call]

    def checkpoint(self, force: bool = False, wait: bool = False) -> None:
        """Nothing: the study is the state of a sweep, and Tune's own snapshots would never be read."""

    def _actor_started(self, tracked_actor: Any, log: str = "STARTED") -> None:
        super()._actor_started(tracked_actor, log)
        trial = self._actor_to_trial[tracked_actor]
        actor = trial.temporary_state.ray_actor
        self._actor_ids[trial] = actor._actor_id.hex() if actor else ""

    def _process_trial_failure(self, trial: Trial, exception: Exception) -> None:
        """Where all roads of Tune meet on which a trial ends badly."""
        if trial.status != Trial.RUNNING:
            if trial not in self._trial_to_actor:
                # Tune tells twice of an actor that died while it was given another trial.
                return
            self._set_trial_status(trial, Trial.RUNNING)
            self._unstage_trial_with_resources(trial)
        # Tune forgets that a trial is not being given to an actor any more when the actor dies of it.
        self._resetting_trials.discard(trial)
        verdict = self._judge.hear(exception, self._actor_ids.pop(trial, None))
        if isinstance(verdict, Waiting):
            self._waiting[trial] = verdict
            self._try_recover(trial, exception)  # type: ignore[arg-type]  # any will do
            # Tune starts what is pending, and leaves alone what is paused.
            self._set_trial_status(trial, Trial.PAUSED)
        elif self._goes_on(trial, verdict):
            self._try_recover(trial, exception)  # type: ignore[arg-type]
        else:
            self._give_up(trial, exception)

    def _look_again(self) -> None:
        """Start or give up the trials whose silence is explained by now."""
        if not self._waiting or time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        for trial, case in list(self._waiting.items()):
            verdict = self._judge.look(case)
            if isinstance(verdict, Waiting):
                continue
            del self._waiting[trial]
            if self._goes_on(trial, verdict):
                self._set_trial_status(trial, Trial.PENDING)
            else:
                self._give_up(trial, RuntimeError(verdict.reason))

    def _goes_on(self, trial: Trial, verdict: Failure | Loss) -> bool:
        match verdict:
            case Failure(reason):
                return self._ledger.failed(trial.trial_id, reason)
            case Loss(reason, counts):
                return not counts or self._ledger.lost(trial.trial_id, reason)

    def _give_up(self, trial: Trial, exception: Exception) -> None:
        self._search_alg.on_trial_complete(trial.trial_id, error=True)
        self._schedule_trial_stop(trial, exception=exception)
        self._live_trials.discard(trial)


class _ActorManager(RayActorManager):
    """Takes whatever Ray says of an actor; Tune's own ends the sweep when it is neither of two exceptions."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if not isinstance(exception, RayActorError | RayTaskError):
            exception = ActorEnded(exception)
        super()._actor_task_failed(tracked_actor_task, exception)
