"""From a YAML file to a checked model: every error names the file and the line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from orchestration.secrets import without_secrets
from orchestration.yaml_lines import Document, Where, read_yaml

Model = TypeVar("Model")
# What is wrong, and its place in the file.
Mistake = tuple[Where, str]


@dataclass(frozen=True)
class FileKind(Generic[Model]):
    """A kind of file that people write.

    Attributes:
        form: the model, or an annotated union of models.
        parser: of that.
        failure: what is raised, with one line for each thing that is wrong.
        example: a line that such a file has.
        hints: what to write instead, for fields whose types say it badly.
    """

    form: Any
    parser: TypeAdapter[Model]
    failure: type[Exception]
    example: str
    hints: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: Path) -> tuple[Document, Model]:
        """The file, and what it says.

        Raises:
            Exception: ``failure``: ``file:line: what, and what to do``, a line for each mistake.
        """
        document = read_yaml(path, self.failure, self.example)
        try:
            return document, self.parser.validate_python(document.tree)
        except ValidationError as error:
            found = [self._mistake(document.tree, dict(item)) for item in error.errors(include_url=False)]
            raise self.failure(written(document, found)) from None

    def _mistake(self, tree: dict[str, Any], error: dict[str, Any]) -> Mistake:
        place = _locate(self.form, tree, error["loc"])
        hint = self.hints.get(str(place.where[0])) if place.where else None
        if hint:
            return place.where, f"{place} is {_short(error['input'])}; {hint}"
        return _explained(error, place)


def written(document: Document, mistakes: Iterable[Mistake]) -> str:
    """One line for each line of the file that something is wrong with, in the order of the file."""
    first: dict[int, str] = {}
    for where, message in mistakes:
        # Values are shown, and somebody may have written a password into an address.
        first.setdefault(document.line(where), without_secrets(message))
    return "\n".join(f"{document.path}:{line}: {message}" for line, message in sorted(first.items()))


@dataclass(frozen=True)
class _Place:
    """Where pydantic found an error.

    Attributes:
        where: as far as it is in the file.
        rest: what is not, such as a missing key or the name of a union's member.
        fields: of the model that it is in.
    """

    where: Where
    rest: tuple[str | int, ...]
    fields: list[str]

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.where) or "the file"


def _explained(error: dict[str, Any], place: _Place) -> Mistake:
    """What is wrong, in words for one who never heard of pydantic."""
    where, given, context = place.where, error["input"], error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            message = _unknown_field(str(where[-1]), place.fields)
        case "missing":
            message = f"{place} lacks '{place.rest[-1]}'"
        case "union_tag_invalid":
            where = (*where, context["discriminator"].strip("'"))
            known = context["expected_tags"].replace("'", "")
            message = f"no {where[0]} '{context['tag']}'; there are {known}"
        case "union_tag_not_found":
            message = f"{place} lacks {context['discriminator']}"
        case "value_error" if isinstance(given, Mapping):
            message = str(context["error"])
            where = _named(where, message, given)
        case _:
            reason = str(error["msg"]).removeprefix("Value error, ")
            message = f"{place} cannot be {_short(given)}: {reason[:1].lower()}{reason[1:]}"
    return where, message


def _locate(form: Any, tree: Any, location: tuple[str | int, ...]) -> _Place:
    """Follow pydantic's location of an error through the types and through the file at once."""
    where: list[str | int] = []
    rest: list[str | int] = []
    fields: list[str] = []
    for part in location:
        member = _member(form, part)
        if member is not None:  # its name is in pydantic's location, but not in the file
            form = member
            rest.append(part)
            continue
        form = _plain(form)
        if isinstance(form, type) and issubclass(form, BaseModel):
            fields = list(form.model_fields)
        form = _inner(form, part)
        inside = isinstance(tree, dict) and part in tree
        inside = inside or (isinstance(tree, list) and isinstance(part, int) and part < len(tree))
        if inside:
            where.append(part)
            tree = tree[part]
        else:
            rest.append(part)
    return _Place(tuple(where), tuple(rest), fields)


def _plain(form: Any) -> Any:
    """A type without its annotations, and without the None that it may be instead."""
    while get_origin(form) is Annotated:
        form = get_args(form)[0]
    members = [member for member in get_args(form) if member is not type(None)]
    is_union = get_origin(form) in (Union, UnionType)
    return _plain(members[0]) if is_union and len(members) == 1 else form


def _member(form: Any, tag: str | int) -> Any:
    """The model of a union that this word stands for; None if the type is no such union."""
    form = _plain(form)
    members = get_args(form) if get_origin(form) in (Union, UnionType) else ()
    return next((member for member in members if tag in _tags(member)), None)


def _inner(form: Any, part: str | int) -> Any:
    """The type of a field, of a mapping's values or of a list's items."""
    if isinstance(form, type) and issubclass(form, BaseModel):
        known = form.model_fields.get(str(part))
        return known.annotation if known else Any
    if get_origin(form) is dict:
        return get_args(form)[1]
    return get_args(form)[0] if get_origin(form) in (tuple, list) else Any


def _tags(member: Any) -> tuple[Any, ...]:
    """The words by which a union recognises a model."""
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return ()
    annotations = (known.annotation for known in member.model_fields.values())
    return tuple(tag for note in annotations if get_origin(note) is Literal for tag in get_args(note))


def _named(where: Where, message: str, tree: Mapping[str, Any]) -> Where:
    """The place of the key that a message about several of them names first."""
    keys = (key for key in re.findall(r"'([^']+)'", message) if key in tree)
    first = next(keys, None)
    return where if first is None else (*where, first)


def _unknown_field(name: str, fields: list[str]) -> str:
    close = difflib.get_close_matches(name, fields, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(fields)}"
    return f"no field '{name}'; {hint}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "settings"
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
