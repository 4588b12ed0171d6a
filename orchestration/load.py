"""From a sweep file to a checked :class:`SweepSpec`: every error names the file and the line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from orchestration import spec as parts
from orchestration.checks import Problem, find_problems
from orchestration.errors import SpecError
from orchestration.spec import SweepSpec
from orchestration.yaml_lines import Document, Where, read_yaml


def load_spec(path: Path) -> SweepSpec:
    """Read and check a sweep file.

    Raises:
        SpecError: one line for each thing that is wrong: ``file:line: what, and what to do``.
    """
    document = read_yaml(path)
    try:
        spec = SweepSpec.model_validate(document.tree)
    except ValidationError as error:
        problems = [_problem(document.tree, dict(found)) for found in error.errors(include_url=False)]
        raise SpecError(_written(document, problems)) from None
    problems = find_problems(spec)
    if problems:
        raise SpecError(_written(document, problems))
    return spec


def _written(document: Document, problems: list[Problem]) -> str:
    lines = {
        document.at(problem.where): f"{document.at(problem.where)}: {problem.message}"
        for problem in reversed(problems)
    }
    return "\n".join(sorted(lines.values(), key=lambda line: _number(line, document)))


def _number(line: str, document: Document) -> int:
    return int(line.removeprefix(f"{document.path}:").split(":", 1)[0])


def _problem(tree: dict[str, Any], error: dict[str, Any]) -> Problem:
    where, rest = _locate(tree, error["loc"])
    name = ".".join(str(part) for part in where) or "the file"
    if where[:1] == ("start_with",):
        return Problem(
            where, f"{name} is {_short(error['input'])}; write 'default' or settings with their values"
        )
    match error["type"]:
        case "extra_forbidden":
            return Problem(where, _unknown_field(str(where[-1]), _fields(error["loc"])))
        case "missing":
            return Problem(where, f"{name} lacks '{rest[-1]}'")
        case "union_tag_invalid":
            expected = error["ctx"]["expected_tags"].replace("'", "")
            return Problem((*where, "type"), f"no {where[0]} '{error['ctx']['tag']}'; there are {expected}")
        case "union_tag_not_found":
            return Problem(where, f"{name} lacks 'type'")
        case _:
            message = str(error["msg"]).removeprefix("Value error, ")
            return Problem(
                where, f"{name} cannot be {_short(error['input'])}: {message[:1].lower()}{message[1:]}"
            )


def _locate(tree: Any, location: tuple[str | int, ...]) -> tuple[Where, list[str | int]]:
    """What of pydantic's location is in the file, and the rest: names of union members, missing keys."""
    where: list[str | int] = []
    rest: list[str | int] = []
    for part in location:
        inside = isinstance(tree, dict) and part in tree
        inside = inside or (isinstance(tree, list) and isinstance(part, int) and part < len(tree))
        if inside and not (isinstance(tree, dict) and tree.get("type") == part and part != "type"):
            where.append(part)
            tree = tree[part]
        else:
            rest.append(part)
    return tuple(where), rest


def _fields(location: tuple[str | int, ...]) -> list[str]:
    """The fields of the part that an unknown key stands in."""
    groups: dict[str, type[BaseModel]] = {"resources": parts.Resources, "tracking": parts.Tracking}
    groups |= dict.fromkeys(("objective", "objectives"), parts.Objective)
    for union in (parts.AnyParameter, parts.AnySampler, parts.AnyScheduler):
        groups |= {_tag(member): member for member in get_args(get_args(union)[0])}
    for part in reversed(location[:-1]):
        if part in groups:
            return list(groups[str(part)].model_fields)
    return list(SweepSpec.model_fields)


def _tag(member: type[BaseModel]) -> str:
    return str(get_args(member.model_fields["type"].annotation)[0])


def _unknown_field(name: str, fields: list[str]) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(fields)}"
    return f"no field '{name}'; {hint}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "settings"
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
