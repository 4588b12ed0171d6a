"""The study: the one source of truth of a sweep, in Optuna's database in the sweep's folder.

Parameters are asked of it and every result is told to it at once, so that a driver that dies takes nothing
with it. SQLite, because a killed writer cannot damage it.
"""

from __future__ import annotations

import itertools
import logging
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from orchestration import space
from orchestration.checks import default_values
from orchestration.methods import new_pruner, new_sampler
from orchestration.records import Progress, State, TrialRecord
from orchestration.spec import (
    AnyParameter,
    Categorical,
    Integer,
    LogUniform,
    SweepSpec,
)
from orchestration.sqlite import sync_less

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Assignment:
    """A trial that is to be run."""

    number: int
    params: dict[str, Any]


class Study:
    """Ask-and-tell for the trials of a sweep.

    Args:
        spec: what is searched.
        url: of the database, which is made if it is not there.
    """

    def __init__(self, spec: SweepSpec, url: str) -> None:
        _be_quiet()
        sync_less()
        self._spec = spec
        # Readers such as `sweep status` and the driver wait for each other rather than fail.
        arguments = {"timeout": 60} if url.startswith("sqlite") else {}
        self._storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": arguments})
        self._study = optuna.create_study(
            study_name=spec.name,
            storage=self._storage,
            directions=[goal.direction for goal in spec.goals],
            pruner=new_pruner(spec.scheduler, spec.epochs),
            load_if_exists=True,
        )
        self._left_running: list[int] = []
        self._ids: dict[int, int] = {}

    def start(self) -> None:
        """Get ready to ask: line up the settings to try first, and what an earlier driver left unfinished."""
        self._left_running = [trial.number for trial in self._trials(TrialState.RUNNING)]
        points = [default_values(self._spec) if isinstance(s, str) else s for s in self._spec.start_with]
        if self._spec.sampler.type == "grid":
            points = list(itertools.islice(space.grid(self._spec.search), self._spec.trials))
        # They come before all other trials, so a driver that died at this left the first of them.
        for point in points[len(self._trials()) :]:
            self._study.enqueue_trial({key: space.label(value) for key, value in point.items()})

    def close(self) -> None:
        """Close the database; the last one to do so leaves a single file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def plot(self, folder: Path) -> list[Path]:
        """Draw what there is to see of it; see :func:`orchestration.plots.write_plots`."""
        from orchestration.plots import write_plots  # noqa: PLC0415 - imports matplotlib

        return write_plots(self._study, folder)

    @property
    def num_finished(self) -> int:
        """Trials that will not run again, failed ones among them."""
        return len(self._trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))

    @property
    def num_left(self) -> int:
        """Trials still to run or to finish."""
        running = len(self._trials(TrialState.RUNNING))
        return max(space.num_trials(self._spec) - self.num_finished, running)

    def ask(self) -> Assignment:
        """The next trial: one that an earlier driver left unfinished, or a new one."""
        if self._left_running:
            frozen = self._frozen(self._left_running.pop(0))
            # A trial whose driver died while it was being drawn up has only some of its parameters.
            self._study.sampler = new_sampler(self._spec.sampler, self._spec.seed, frozen.number)
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
        else:
            number = len(self._trials(*STATES))
            self._study.sampler = new_sampler(self._spec.sampler, self._spec.seed, number)
            trial = self._study.ask()
        return Assignment(trial.number, space.walk(self._spec.search, _Suggester(trial)))

    def report(self, number: int, history: Mapping[int, float], progress: Progress) -> bool:
        """Note an epoch of a trial.

        Args:
            history: the objective by epoch, as far as the trial knows it; what is known already is skipped.
            progress: how far the trial has come.

        Returns:
            Whether it is to be stopped; it then is told PRUNED already.
        """
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return frozen.state == TrialState.PRUNED
        trial_id, storage = frozen._trial_id, self._storage
        storage.set_trial_user_attr(trial_id, "progress", progress.dump())
        if len(self._spec.goals) > 1:
            return False
        new = {epoch: value for epoch, value in history.items() if epoch not in frozen.intermediate_values}
        for epoch, value in sorted(new.items()):
            storage.set_trial_intermediate_value(trial_id, epoch, value)
        is_last = progress.epochs >= self._spec.epochs
        if not new or is_last or not self._study.pruner.prune(self._study, self._frozen(number)):
            return False
        self._study.tell(number, state=TrialState.PRUNED)
        return True

    def complete(self, number: int) -> None:
        """Note the end of a trial that reported its last epoch; one without a value has failed."""
        record = self.record(number)
        values = record.progress.values
        if not values or not all(map(math.isfinite, values)):
            goals = ", ".join(goal.metric for goal in self._spec.goals)
            self.fail(number, f"no epoch has a finite value of {goals}")
        elif record.state == "running":
            self._study.tell(number, list(values))

    def fail(self, number: int, reason: str) -> None:
        """Note that a trial failed for good."""
        frozen = self._frozen(number)
        if not frozen.state.is_finished():
            self._storage.set_trial_user_attr(frozen._trial_id, "reason", reason)
            self._study.tell(number, state=TrialState.FAIL)

    def add_failure(self, number: int, reason: str) -> int:
        """Note that a trial failed, which it may survive; how often it has by now."""
        failures = [*self.record(number).failures, reason]
        self._storage.set_trial_user_attr(self._id(number), "failures", failures)
        return len(failures)

    def add_loss(self, number: int) -> int:
        """Note that a trial lost its place; how often in a row, without an epoch in between, by now."""
        epochs = self.record(number).progress.epochs
        losses = [*self._frozen(number).user_attrs.get("losses", []), epochs]
        self._storage.set_trial_user_attr(self._id(number), "losses", losses)
        return len(list(itertools.takewhile(lambda before: before == epochs, reversed(losses))))

    def record(self, number: int) -> TrialRecord:
        """What is known of one trial."""
        return self._record(self._frozen(number))

    def records(self) -> list[TrialRecord]:
        """What is known of every trial that was started."""
        return [self._record(trial) for trial in self._trials(*STATES)]

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        attrs = trial.user_attrs
        return TrialRecord(
            number=trial.number,
            state=STATES[trial.state],
            params={key: _value(self._spec.search[key], value) for key, value in trial.params.items()},
            progress=Progress.parse(attrs["progress"]) if "progress" in attrs else Progress(),
            reason=attrs.get("reason", ""),
            failures=tuple(attrs.get("failures", ())),
            losses=len(attrs.get("losses", ())),
        )

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _frozen(self, number: int) -> FrozenTrial:
        """One trial, without reading all of them."""
        return self._study._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        """Optuna's own name for a trial, which is not its number."""
        if number not in self._ids:
            self._ids |= {trial.number: trial._trial_id for trial in self._trials()}
        return self._ids[number]


class _Suggester:
    """Asks an Optuna trial for the value of a parameter."""

    def __init__(self, trial: optuna.trial.Trial) -> None:
        self._trial = trial

    def __call__(self, key: str, parameter: AnyParameter) -> Any:
        if isinstance(parameter, Categorical):
            labels = [space.label(choice) for choice in parameter.choices]
            return _value(parameter, self._trial.suggest_categorical(key, labels))
        if isinstance(parameter, Integer):
            return self._trial.suggest_int(
                key, parameter.low, parameter.high, step=parameter.step, log=parameter.log
            )
        if isinstance(parameter, LogUniform):
            return self._trial.suggest_float(key, parameter.low, parameter.high, log=True)
        return self._trial.suggest_float(key, parameter.low, parameter.high, step=parameter.step)


def _value(parameter: AnyParameter, stored: Any) -> Any:
    """What a stored value stands for."""
    if not isinstance(parameter, Categorical):
        return stored
    return next(choice for choice in parameter.choices if space.same(space.label(choice), stored))


def _be_quiet() -> None:
    optuna.logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    # Optuna says so when it narrows a range whose length is no multiple of its step; `validate` need not.
    warnings.filterwarnings("ignore", message=".*is not divisible by.*")
