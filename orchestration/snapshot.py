"""How a sweep stands, in a file that anybody may read at any time, from any host.

The study is the truth, but it is a database, which only its driver opens: it may lie on a network folder,
where a reader on another host could hurt it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestration.errors import SweepError
from orchestration.records import TrialRecord
from wav2pix.files import write_atomically

MIN_INTERVAL_S = 1.0


@dataclass(frozen=True)
class Snapshot:
    """What ``trials.json`` holds.

    Attributes:
        records: every trial that was started.
        num_left: trials still to run or to finish.
        time: of writing, seconds since 1970.
    """

    records: list[TrialRecord]
    num_left: int
    time: float

    def save(self, path: Path) -> None:
        """Write it."""
        tree = {
            "time": self.time,
            "num_left": self.num_left,
            "trials": [record.dump() for record in self.records],
        }
        write_atomically(path, json.dumps(tree).encode())

    @classmethod
    def load(cls, path: Path) -> Snapshot | None:
        """Read it; None if no trial was ever started.

        Raises:
            SweepError: another version wrote it.
        """
        try:
            tree = json.loads(path.read_bytes())
            return cls([TrialRecord.parse(trial) for trial in tree["trials"]], tree["num_left"], tree["time"])
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise SweepError(f"{path} cannot be read: {error!r}") from None


class SnapshotKeeper:
    """Keeps ``trials.json`` up to date, at most once a second.

    Args:
        path: of the file.
        read: how the sweep stands now: every trial that was started, and how many are left.
        tell: is told of what was written.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[], tuple[list[TrialRecord], int]],
        tell: Callable[[list[TrialRecord]], None] | None = None,
    ) -> None:
        self._path = path
        self._read = read
        self._tell = tell
        self._changed = False
        self._written = -MIN_INTERVAL_S

    def change(self) -> None:
        """Something has changed."""
        self._changed = True
        self.tick()

    def tick(self) -> None:
        """Write what has changed if it is time: called now and then."""
        if self._changed and time.monotonic() - self._written >= MIN_INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        """Write what has changed."""
        if self._changed:
            self._changed = False
            records, num_left = self._read()
            Snapshot(records, num_left, time.time()).save(self._path)
            if self._tell:
                self._tell(records)
            self._written = time.monotonic()
