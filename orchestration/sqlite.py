"""SQLite files that appear whole, and bear many processes at once or a network folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

from sqlalchemy import event
from sqlalchemy.engine import Engine

from orchestration.lock import hold

# For making a database, on a busy machine.
DEADLINE_S = 120.0


def make_whole(database: Path, make: Callable[[Path], None]) -> None:
    """Let ``make`` write a database if there is none; nobody sees it before it is finished.

    It gets a write-ahead log, a setting that stays with the file: readers do not wait for writers.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with hold(database.with_name(f".{database.name}.lock"), f"the database {database}", DEADLINE_S):
        if database.exists():
            return
        partial = database.with_name(f".{database.name}.partial")
        for path in database.parent.glob(f"{partial.name}*"):
            path.unlink()
        with closing(sqlite3.connect(partial)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        make(partial)
        with closing(sqlite3.connect(partial)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        partial.rename(database)


def set_journal(database: Path, mode: Literal["wal", "delete"]) -> None:
    """How a database that nobody has open keeps its log, a setting that stays with the file.

    A write-ahead log lets many processes of one host read and write. It is shared through memory: in a network
    folder a plain journal is right, which one process at a time can use from any host.
    """
    with closing(sqlite3.connect(database, timeout=DEADLINE_S)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")


def sync_less() -> None:
    """From now on in this process, databases with a write-ahead log are synced when it is emptied.

    Not at each of the twenty commits of a trial, then. A killed process loses nothing by that. Power that fails
    may take the last moments, never the database; and a trial that goes on tells again what is missing. Those
    with a journal empty it at each commit, which costs a network folder less than making and deleting it.
    """
    if not event.contains(Engine, "connect", _relax):
        event.listen(Engine, "connect", _relax)


def _relax(connection: object, record: object) -> None:
    del record
    if isinstance(connection, sqlite3.Connection):
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode == "wal":
            connection.execute("PRAGMA synchronous=NORMAL")
        else:
            connection.execute("PRAGMA journal_mode=TRUNCATE")
