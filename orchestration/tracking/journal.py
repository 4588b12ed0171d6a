"""What a run logs, on disk before anything is sent: an append-only file of JSON lines, and files beside it.

A run has one journal for all its life, in the sweep's folder, whichever process logs to it. Who holds the lock
of the trial appends; who sends keeps how far the tracking store has it. So nothing is lost while the store is
away, and sending again what may have arrived already changes nothing: entries carry the time at which they were
written.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from wav2pix.files import write_atomically


class _Entry(BaseModel):
    # What is not a number stays so: JSON has no word for it, and Python's reader and pydantic's have.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Metrics(_Entry):
    """Values of one step; ``time_ms`` is unix time."""

    type: Literal["metrics"] = "metrics"
    step: int
    time_ms: int
    values: dict[str, float]


class Params(_Entry):
    """Settings, which stay what they are for the life of the run."""

    type: Literal["params"] = "params"
    values: dict[str, str]


class Tags(_Entry):
    """Notes; the last one of a name counts."""

    type: Literal["tags"] = "tags"
    values: dict[str, str]


class Artifact(_Entry):
    """A file, or what is in a folder, kept under ``folder`` of the run; ``file`` is relative to the journal."""

    type: Literal["artifact"] = "artifact"
    file: str
    folder: str = ""


class Picture(_Entry):
    """A picture (PNG) that the store shows by step under the name ``key``."""

    type: Literal["picture"] = "picture"
    file: str
    key: str
    step: int
    time_ms: int


class Model(_Entry):
    """A folder that :func:`wav2pix.checkpoint.export_model` wrote."""

    type: Literal["model"] = "model"
    file: str


class Dataset(_Entry):
    """The data that the run was trained on."""

    type: Literal["dataset"] = "dataset"
    name: str
    digest: str
    source: str
    context: str
    profile: dict[str, int]


Entry = Annotated[Metrics | Params | Tags | Artifact | Picture | Model | Dataset, Field(discriminator="type")]
ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)


class Journal:
    """The journal in a folder; there is none until something is appended.

    Args:
        folder: its own.

    Safe to use from several threads. Of all processes only one may append at a time, and one send.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "journal.jsonl"
        self._sent = folder / "sent.json"
        self._lock = threading.Lock()
        self._is_whole = False

    def append(self, entries: Iterable[Entry], *, sync: bool = True) -> None:
        """Write entries at the end, on the disk before this returns if ``sync``."""
        lines = b"".join(entry.model_dump_json().encode() + b"\n" for entry in entries)
        with self._lock:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                self._mend(file.fileno())
                file.write(lines)
                file.flush()
                if sync:
                    os.fsync(file.fileno())

    def add_file(self, source: Path) -> str:
        """Copy a file or folder to the journal's own; its name there."""
        with self._lock:
            files = self.folder / "files"
            files.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = max((int(path.name) for path in files.iterdir() if path.name.isdigit()), default=0) + 1
            target = files / f"{number:06d}" / source.name
            target.parent.mkdir()
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
        return target.relative_to(self.folder).as_posix()

    def entries(self) -> Iterator[Entry]:
        """All that was ever written."""
        for entry, _ in self._read(0):
            yield entry

    def unsent(self, most: int) -> list[tuple[Entry, int]]:
        """The first of what the store has not confirmed, each with the mark that says so once it has."""
        return list(islice(self._read(self.progress.offset), most))

    @property
    def progress(self) -> Progress:
        """How far sending has come."""
        try:
            return Progress(**json.loads(self._sent.read_text()))
        except FileNotFoundError:
            return Progress()

    def confirm(self, progress: Progress) -> None:
        """Note how far sending has come, then forget files that arrived."""
        before = self.progress.offset
        write_atomically(self._sent, json.dumps(progress.__dict__).encode())
        for entry, mark in self._read(before):
            if mark > progress.offset:
                return
            if isinstance(entry, Artifact | Picture | Model):
                shutil.rmtree((self.folder / entry.file).parent, ignore_errors=True)

    @property
    def is_sent(self) -> bool:
        """Whether the store has confirmed everything."""
        size = self._path.stat().st_size if self._path.exists() else 0
        return self.progress.offset >= size

    def _read(self, offset: int) -> Iterator[tuple[Entry, int]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                # The last one may be of a process that was killed as it wrote, or that is about to finish it.
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                try:
                    yield ENTRY.validate_json(line), offset
                except ValidationError:
                    # A disk or a network folder that lost a block; the rest must not be lost with it.
                    logging.getLogger(__name__).warning("%s has an unreadable line at %d", self._path, offset)

    def _mend(self, handle: int) -> None:
        """Cut off a last line that a killed process left unfinished."""
        if not self._is_whole:
            content = self._path.read_bytes()
            if content and not content.endswith(b"\n"):
                os.ftruncate(handle, content.rfind(b"\n") + 1)
            self._is_whole = True


@dataclass(frozen=True)
class Progress:
    """How far a journal has been sent.

    Attributes:
        offset: bytes of the journal that the store has confirmed.
        run_id: the store's name of the run, once it was made.
    """

    offset: int = 0
    run_id: str | None = None
