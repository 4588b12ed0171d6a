"""The search space: walked define-by-run, so that a parameter exists only when its conditions hold."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestration.spec import AnyParameter, Categorical, Integer, SweepSpec, Uniform

Search = Mapping[str, AnyParameter]


Chooser = Callable[[str, AnyParameter], Any]


def walk(search: Search, choose: Chooser) -> dict[str, Any]:
    """Choose a value for each parameter whose conditions hold, parents first."""
    chosen: dict[str, Any] = {}
    for key in in_order(search):
        if is_active(search[key], chosen):
            chosen[key] = choose(key, search[key])
    return chosen


def in_order(search: Search) -> list[str]:
    """The keys with each one after those that its conditions name.

    Raises:
        ValueError: conditions go round in a circle; the message is its first key.
    """
    ordered: list[str] = []
    waiting = list(search)
    while waiting:
        ready = [key for key in waiting if all(parent in ordered for parent in search[key].when)]
        if not ready:
            raise ValueError(waiting[0])
        ordered += ready
        waiting = [key for key in waiting if key not in ready]
    return ordered


def is_active(parameter: AnyParameter, chosen: Mapping[str, Any]) -> bool:
    """Whether every condition of a parameter holds."""
    return all(
        parent in chosen and any(same(chosen[parent], value) for value in values)
        for parent, values in parameter.when.items()
    )


def contains(parameter: AnyParameter, value: Any) -> bool:
    """Whether a parameter can take a value."""
    if isinstance(parameter, Categorical):
        return any(same(value, choice) for choice in parameter.choices)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not parameter.low <= value <= parameter.high:
        return False
    if isinstance(parameter, Integer):
        return value == int(value) and (int(value) - parameter.low) % parameter.step == 0
    if isinstance(parameter, Uniform) and parameter.step:
        steps = (value - parameter.low) / parameter.step
        return math.isclose(steps, round(steps), abs_tol=1e-8)
    return True


def ends(parameter: AnyParameter) -> tuple[Any, ...]:
    """The values that show whether all of them are allowed: the bounds, or every choice."""
    return parameter.choices if isinstance(parameter, Categorical) else (parameter.low, parameter.high)


def steps(parameter: AnyParameter) -> list[Any] | None:
    """Every value of a parameter that has finitely many."""
    if isinstance(parameter, Categorical):
        return list(parameter.choices)
    if isinstance(parameter, Integer):
        return list(range(parameter.low, parameter.high + 1, parameter.step))
    if isinstance(parameter, Uniform) and parameter.step:
        count = math.floor((parameter.high - parameter.low) / parameter.step + 1e-9) + 1
        return [parameter.low + index * parameter.step for index in range(count)]
    return None


def grid(search: Search) -> Iterator[dict[str, Any]]:
    """Every combination once; parameters must have finitely many values."""
    order = in_order(search)
    seen: set[str] = set()
    for values in itertools.product(*(steps(search[key]) or () for key in order)):
        point = point_of(search, dict(zip(order, values, strict=True)))
        written = json.dumps(point, sort_keys=True)
        if written not in seen:
            seen.add(written)
            yield point


def point_of(search: Search, values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of ``values`` that exists under the conditions.

    Raises:
        KeyError: a value is needed and not given.
    """
    return walk(search, lambda key, _: values[key])


def num_trials(spec: SweepSpec) -> int:
    """How many trials there will be: a grid may have fewer points than the file asks for."""
    if spec.sampler.type != "grid":
        return spec.trials
    return sum(1 for _ in itertools.islice(grid(spec.search), spec.trials))


def same(left: Any, right: Any) -> bool:
    """Equality that keeps 1 and True apart, and takes a tuple for a list."""
    return json.dumps(left) == json.dumps(right) or (
        not isinstance(left, bool) and not isinstance(right, bool) and bool(left == right)
    )


def label(choice: Any) -> Any:
    """A choice as Optuna stores it: scalars as they are, lists as text."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else json.dumps(choice)
