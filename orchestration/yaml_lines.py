"""YAML read safely, with the line of every key kept, so that an error can name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Where = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe, and 1e-4 is a number as in JSON and YAML 1.2; PyYAML takes it for a word."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        path: as the user gave it, for messages.
        text: the file as it stands.
        tree: its content.
        lines: from 1, of each key and list item by its path in the tree.
    """

    path: Path
    text: str
    tree: dict[str, Any]
    lines: Mapping[Where, int]

    def line(self, where: Where) -> int:
        """The line of a place in the tree, or of the closest enclosing one that is written down."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


class _Broken(Exception):
    """A mistake that YAML itself allows; the message begins with its line."""


def read_yaml(path: Path, failure: type[Exception], example: str) -> Document:
    """Parse a file whose top level is a mapping.

    Args:
        path: as the user gave it.
        failure: what is raised.
        example: a line that such a file has, for the message to one who wrote something else.

    Raises:
        Exception: ``failure``: no such file, no YAML, a key twice, or something else at the top.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise failure(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise failure(f"{path}: cannot be read: {error}") from None
    loader = _Loader(text)
    lines: dict[Where, int] = {}
    try:
        node = loader.get_single_node()
        tree = _build(loader, node, (), lines) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise failure(f"{path}:{line}: not valid YAML: {error.problem}") from None
    except _Broken as error:
        raise failure(f"{path}:{error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise failure(f"{path}: not valid YAML: {error}") from None
    finally:
        loader.dispose()
    if not isinstance(tree, dict):
        raise failure(f"{path}:1: expected settings such as '{example}', one a line")
    return Document(path, text, tree, lines)


def _build(loader: _Loader, node: yaml.Node, where: Where, lines: dict[Where, int]) -> Any:
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        tree: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Broken(f"{line}: a key must be a word")
            key = str(key_node.value)
            if key in tree:
                raise _Broken(f"{line}: '{key}' stands here and in line {lines[(*where, key)]}")
            lines[(*where, key)] = line
            tree[key] = _build(loader, value_node, (*where, key), lines)
        return tree
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*where, index), lines) for index, child in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
