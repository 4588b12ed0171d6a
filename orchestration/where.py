"""``--where "metrics.l1 < 0.2 and params.optimizer.lr_generator > 1e-4"``: which trials to look at.

A condition compares a metric of a trial's best epoch, or a searched setting, with a value; ``and`` joins
several. Operators: ``<  <=  >  >=  =  !=``. Values: numbers, ``true``, ``false``, ``null``, and texts, in
quotes where they are more than one word. A trial without the metric or the setting is left out.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.errors import SweepError
from orchestration.records import TrialRecord

Value = float | bool | str | None

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None, "none": None}
MAX_NAMED = 12

_TOKEN = re.compile(r"""\s*(?:(?P<text>"[^"]*"|'[^']*')|(?P<sign>[<>=!]+)|(?P<word>[^\s<>=!"']+))""")


@dataclass(frozen=True)
class Condition:
    """One comparison.

    Attributes:
        group: "metrics" or "params".
        column: where the name begins in what was typed, from 1.
    """

    group: str
    key: str
    sign: str
    value: Value
    column: int

    def holds(self, record: TrialRecord) -> bool:
        """Whether a trial fulfils it; one that lacks the value, or has none that compares, does not."""
        values = _values(record, self.group)
        if self.key not in values:
            return False
        ours, theirs = _comparable(values[self.key], self.value)
        if self.sign in ("=", "==", "!="):
            return OPERATORS[self.sign](ours, theirs) and not _is_nan(ours)
        # A truth value is an int to Python; to a person it has no order.
        ordered = isinstance(ours, int | float) and not isinstance(ours, bool)
        return ordered and OPERATORS[self.sign](ours, theirs)


@dataclass(frozen=True)
class Filter:
    """Conditions that must all hold."""

    text: str
    conditions: tuple[Condition, ...]

    def keep(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The trials that fulfil every condition, in the same order.

        Raises:
            SweepError: a name is one that no trial has.
        """
        for condition in self.conditions:
            _check_name(self.text, condition, records)
        return [record for record in records if all(condition.holds(record) for condition in self.conditions)]


def parse_where(text: str) -> Filter:
    """Parse what was typed.

    Raises:
        SweepError: it is no condition; the message says where and what was expected.
    """
    tokens = _Tokens(text)
    conditions = [_condition(tokens)]
    while (joint := tokens.next()) is not None:
        if joint.text.lower() != "and" or joint.kind != "word":
            raise tokens.error(joint.column, f"expected 'and' or the end, not {joint.text}")
        conditions.append(_condition(tokens))
    return Filter(text, tuple(conditions))


def kept(records: Sequence[TrialRecord], where: str | None) -> list[TrialRecord]:
    """The trials that ``--where`` lets through; all of them without it."""
    return list(records) if where is None else parse_where(where).keep(records)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


class _Tokens:
    """What was typed, word by word."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def next(self) -> _Token | None:
        """The next one; None at the end."""
        if not self._text[self._at :].strip():
            return None
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            column = len(self._text) - len(self._text[self._at :].lstrip()) + 1
            raise self.error(column, "a quote is not closed")
        self._at = match.end()
        kind = str(match.lastgroup)
        return _Token(kind, match[kind], match.start(kind) + 1)

    def expect(self, kinds: Iterable[str], what: str) -> _Token:
        """The next one, which must be of one of these kinds."""
        token = self.next()
        if token is None:
            raise self.error(len(self._text) + 1, f"expected {what}, not the end")
        if token.kind not in kinds:
            raise self.error(token.column, f"expected {what}, not {token.text}")
        return token

    def error(self, column: int, what: str) -> SweepError:
        """An error that says where."""
        return _error(self._text, column, what)


def _condition(tokens: _Tokens) -> Condition:
    name = tokens.expect(["word"], "metrics.NAME or params.NAME")
    group, dot, key = name.text.partition(".")
    if group not in ("metrics", "params") or not dot or not key:
        raise tokens.error(name.column, f"expected metrics.NAME or params.NAME, not {name.text}")
    sign = tokens.expect(["sign"], f"one of {' '.join(OPERATORS)}")
    if sign.text not in OPERATORS:
        raise tokens.error(sign.column, f"no operator {sign.text}; there are {' '.join(OPERATORS)}")
    literal = tokens.expect(["word", "text"], "a value")
    value = literal.text[1:-1] if literal.kind == "text" else _value(literal.text)
    if sign.text in ("<", "<=", ">", ">=") and (isinstance(value, str | bool) or value is None):
        raise tokens.error(literal.column, f"{sign.text} needs a number, not {literal.text}")
    return Condition(group, key, sign.text, value, name.column)


def _value(word: str) -> Value:
    if word.lower() in CONSTANTS:
        return CONSTANTS[word.lower()]
    try:
        number = float(word)
    except ValueError:
        return word
    return word if math.isnan(number) else number


def _values(record: TrialRecord, group: str) -> dict[str, Any]:
    return record.progress.metrics if group == "metrics" else record.params


def _comparable(ours: Any, theirs: Value) -> tuple[Any, Any]:
    """A text compares with how a value is written, a list's as well; a truth value with no number."""
    if isinstance(theirs, str):
        return (ours if ours is None else str(ours)), theirs
    if isinstance(ours, bool) != isinstance(theirs, bool):
        return str(ours), theirs
    return ours, theirs


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _check_name(text: str, condition: Condition, records: Sequence[TrialRecord]) -> None:
    known = list(dict.fromkeys(key for record in records for key in _values(record, condition.group)))
    if not known or condition.key in known:
        return
    kind = "metric" if condition.group == "metrics" else "searched setting"
    close = difflib.get_close_matches(condition.key, known, n=1)
    leaves = [key for key in known if key.rsplit(".", 1)[-1] == condition.key]
    listed = ", ".join(known[:MAX_NAMED]) + (", ..." if len(known) > MAX_NAMED else "")
    hint = f"did you mean '{(leaves or close)[0]}'?" if leaves or close else f"there are {listed}"
    raise _error(text, condition.column, f"no {kind} '{condition.key}'; {hint}")


def _error(text: str, column: int, what: str) -> SweepError:
    return SweepError(f'--where "{text}", character {column}: {what}')
