"""What is wrong with the files of an import: said one by one, counted, and skipped or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from wav2pix.errors import DataError


class Findings:
    """Says each finding as one line; under ``strict`` the first one ends the import.

    Attributes:
        counts: number of findings by kind.
    """

    def __init__(self, say: Callable[[str], None], *, strict: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self._say = say
        self._strict = strict

    def skipped(self, kind: str, path: Path, reason: str) -> None:
        """A file that is not used."""
        self._add(kind, f"{path}: {reason}", "skipped")

    def changed(self, kind: str, path: Path, reason: str, action: str) -> None:
        """A file that is used after something was done to it."""
        self._add(kind, f"{path}: {reason}", action)

    def _add(self, kind: str, what: str, action: str) -> None:
        if self._strict:
            raise DataError(f"{what}; --strict stops here, without it the file is {action}")
        self.counts[kind] += 1
        self._say(f"{what}: {action}")
