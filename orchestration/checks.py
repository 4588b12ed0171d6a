"""What must hold of a sweep beyond the types of its fields, checked before anything starts."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestration import space
from orchestration.spec import AnyParameter, Categorical, Integer, LogUniform, SweepSpec, Uniform
from orchestration.yaml_lines import Where
from wav2pix.config import EvaluationConfig, TrainConfig, make_config, setting_paths, unknown_setting
from wav2pix.errors import ConfigError
from wav2pix.evaluation.names import COSTLY, measure_names

# These have a field of their own, so that a sweep says them once.
OWN_FIELD = ("epochs", "preset")
NUM_PROBES = 100


@dataclass(frozen=True)
class Problem:
    """What is wrong, and its place in the file."""

    where: Where
    message: str


def find_problems(spec: SweepSpec) -> list[Problem]:
    """Everything that is wrong with a spec; later checks run only where earlier ones found nothing."""
    for stage in (_names, _ranges, _conditions, _methods, _values, _start):
        problems = list(stage(spec))
        if problems:
            return problems
    return []


def trial_config(spec: SweepSpec, params: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a trial with these values of the searched settings.

    Raises:
        ConfigError: the settings do not go together.
    """
    return make_config(spec.preset, {"seed": spec.seed, "epochs": spec.epochs} | spec.settings | dict(params))


def default_values(spec: SweepSpec) -> dict[str, Any]:
    """The preset's own value, or the fixed one that it depends on, of each searched setting that has one."""
    tree = trial_config(spec, {}).model_dump(mode="json")
    values = {}
    for key in spec.search:
        node: Any = tree
        for part in key.split("."):
            node = node.get(part, _NOTHING) if isinstance(node, dict) else _NOTHING
        if node is not _NOTHING:
            values[key] = node
    return values


_NOTHING = object()


def _names(spec: SweepSpec) -> Iterator[Problem]:
    known = setting_paths()
    for group, keys in (("settings", spec.settings), ("search", spec.search)):
        for key in keys:
            if key in OWN_FIELD:
                yield Problem((group, key), f"'{key}' is a field of the sweep; write it at the top")
            elif key not in known:
                yield Problem((group, key), unknown_setting(key))
    for key in spec.search.keys() & spec.settings.keys():
        yield Problem(("search", key), f"'{key}' is searched and fixed in 'settings'; choose one")


def _ranges(spec: SweepSpec) -> Iterator[Problem]:
    for key, parameter in spec.search.items():
        where: Where = ("search", key)
        if isinstance(parameter, Categorical):
            for index, choice in enumerate(parameter.choices):
                if any(space.same(choice, other) for other in parameter.choices[:index]):
                    yield Problem((*where, "choices", index), f"'{key}' has the choice {choice!r} twice")
        elif parameter.low >= parameter.high:
            yield Problem(
                (*where, "low"),
                f"'{key}' goes from {parameter.low} to {parameter.high}: low must be below high",
            )


def _conditions(spec: SweepSpec) -> Iterator[Problem]:
    for key, parameter in spec.search.items():
        for parent, values in parameter.when.items():
            where: Where = ("search", key, "when", parent)
            if parent not in spec.search:
                yield Problem(where, f"'{key}' depends on '{parent}', which is not searched")
                continue
            for value in values:
                if not space.contains(spec.search[parent], value):
                    yield Problem(where, f"'{parent}' never is {value!r}")
    if all(parent in spec.search for parameter in spec.search.values() for parent in parameter.when):
        try:
            space.in_order(spec.search)
        except ValueError as error:
            yield Problem(("search", str(error), "when"), f"the conditions of '{error}' go round in a circle")


def _methods(spec: SweepSpec) -> Iterator[Problem]:
    if bool(spec.objective) == bool(spec.objectives):
        yield Problem(("objectives",), "give either 'objective' or 'objectives'")
        return
    for index, goal in enumerate(spec.goals):
        where: Where = ("objectives", index, "metric") if spec.objectives else ("objective", "metric")
        if what := _unknown_metric(spec, goal.metric):
            yield Problem(where, what)
    several = len(spec.goals) > 1
    if several and spec.scheduler.type != "none":
        yield Problem(("scheduler",), "stopping trials early needs one objective; write 'scheduler: none'")
    if several and spec.sampler.type == "cmaes":
        yield Problem(("sampler",), "cmaes searches for one objective; take tpe or nsga2 for several")
    if spec.scheduler.type != "none" and spec.scheduler.min_epochs > spec.epochs:
        yield Problem(("scheduler", "min_epochs"), f"'min_epochs' is above the {spec.epochs} epochs of a trial")
    if spec.sampler.type == "grid":
        if spec.start_with:
            yield Problem(("start_with",), "a grid has its own order; leave out 'start_with'")
        for key, parameter in spec.search.items():
            if space.steps(parameter) is None:
                yield Problem(
                    ("search", key), f"a grid needs finitely many values of '{key}'; give choices or a step"
                )


def _unknown_metric(spec: SweepSpec, name: str) -> str | None:
    """What is wrong with the metric of an objective, if no epoch of these trials reports it."""
    try:
        evaluation = trial_config(spec, {}).evaluation
    except ConfigError:  # which is told where that is checked
        evaluation = EvaluationConfig()
    known = measure_names(evaluation)
    if name in known or name.startswith("loss_"):
        return None
    if name in COSTLY:
        return f"'{name}' is not measured by itself; add 'evaluation.costly: [{name}]' to 'settings'"
    base, _, length = name.rpartition("_")
    if base in known and re.fullmatch(r"[\d.]+s", length):
        return f"'{name}' is not measured by itself; add 'evaluation.lengths: [{length[:-1]}]' to 'settings'"
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(known)} and every loss_*"
    return f"no metric '{name}'; {hint}"


def _values(spec: SweepSpec) -> Iterator[Problem]:
    """TrainConfig must take the fixed settings, the ends of every range, and the combinations between them."""
    try:
        trial_config(spec, {})
    except ConfigError as error:
        # A fixed setting may belong to a component that is only chosen by the search.
        if error.key in spec.settings and not any(key.endswith(".type") for key in spec.search):
            yield Problem(("settings", error.key), str(error))
            return
    generator = random.Random(0)
    refused = False
    for key, parameter in spec.search.items():
        for index, value in enumerate(space.ends(parameter)):
            refusal = _refusal(spec, _point_with(spec, key, value, generator))
            # One that is not there at all belongs to a component that this point did not choose.
            if refusal and refusal.key == key and str(refusal) != unknown_setting(key):
                refused = True
                end = ("choices", index) if isinstance(parameter, Categorical) else (("low", "high")[index],)
                yield Problem(("search", key, *end), str(refusal))
    for _ in range(0 if refused else NUM_PROBES):
        point = space.walk(spec.search, _draw(generator))
        refusal = _refusal(spec, point)
        if refusal:
            yield Problem(*_blame(spec, point, refusal))
            return


def _refusal(spec: SweepSpec, point: Mapping[str, Any]) -> ConfigError | None:
    try:
        trial_config(spec, point)
    except ConfigError as error:
        return error
    return None


def _blame(spec: SweepSpec, point: Mapping[str, Any], error: ConfigError) -> tuple[Where, str]:
    """Values that are good alone and bad together: mostly a setting of a component that was not chosen."""
    group = "search" if error.key in spec.search else "settings"
    chosen = ", ".join(f"{name}: {value}" for name, value in point.items() if name.endswith(".type"))
    if not chosen:
        return (group, error.key), str(error)
    what = f"no setting '{error.key}'" if error.key in setting_paths() else str(error)
    hint = "; write 'when' beside it" if group == "search" else ""
    return (group, error.key), f"{what} with {chosen}{hint}"


def _point_with(spec: SweepSpec, key: str, value: Any, generator: random.Random) -> dict[str, Any]:
    """A point of the space in which ``key`` exists and has a value."""
    forced: dict[str, Any] = {key: value}
    waiting = [key]
    while waiting:
        for parent, values in spec.search[waiting.pop()].when.items():
            if parent not in forced:
                forced[parent] = values[0]
                waiting.append(parent)
    draw = _draw(generator)
    return space.walk(
        spec.search, lambda name, parameter: forced[name] if name in forced else draw(name, parameter)
    )


def _draw(generator: random.Random) -> Callable[[str, AnyParameter], Any]:
    def draw(_: str, parameter: AnyParameter) -> Any:
        values = space.steps(parameter)
        if values is not None:
            return generator.choice(values)
        if isinstance(parameter, Uniform | LogUniform | Integer):
            return generator.uniform(parameter.low, parameter.high)
        raise AssertionError(parameter)

    return draw


def _start(spec: SweepSpec) -> Iterator[Problem]:
    for index, start in enumerate(spec.start_with):
        where: Where = ("start_with", index)
        values = default_values(spec) if isinstance(start, str) else start
        whose = "the preset's value" if isinstance(start, str) else "the value"
        for key, value in values.items():
            if key not in spec.search:
                yield Problem((*where, key), f"'{key}' is not searched; put a fixed setting under 'settings'")
            elif not space.contains(spec.search[key], value):
                allowed = _allowed(spec.search[key])
                yield Problem((*where, key), f"{whose} {value!r} of '{key}' is not in its search: {allowed}")
        if isinstance(start, str):
            try:
                space.point_of(spec.search, values)
            except KeyError as error:
                yield Problem(where, f"the preset has no {error}; write the settings to start with")


def _allowed(parameter: AnyParameter) -> str:
    ends = [str(value) for value in space.ends(parameter)]
    if isinstance(parameter, Categorical):
        return " or ".join(ends)
    step = (
        f" in steps of {parameter.step}" if isinstance(parameter, Uniform | Integer) and parameter.step else ""
    )
    return f"from {ends[0]} to {ends[1]}{step}"
