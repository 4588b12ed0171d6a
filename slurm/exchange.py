"""Messages by files between the doctor and its job on a node: what each host sees of the other, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from slurm.private import read_if_there, write_private
from slurm.report import Answer, Finding, Room

# How many messages, and how long an answer may take. Network folders that hide a new file do so for their
# caches' time, which is a minute at most.
MESSAGES = 3
ANSWER_S = 70.0
SLOW_S = 5.0
POLL_S = 0.02
# Of a clock that is off: workers' ages begin to look wrong, and munge refuses beyond five minutes.
SKEW_S, BAD_SKEW_S = 2.0, 60.0


@contextmanager
def answering(room: Room) -> Iterator[None]:
    """Answer every message from the node at once while the block runs, whatever else the doctor waits for."""
    is_over = threading.Event()
    thread = threading.Thread(target=_answer, args=(room, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(ANSWER_S)


def _answer(room: Room, is_over: threading.Event) -> None:
    number = 0
    while not is_over.wait(POLL_S):
        with suppress(OSError):  # the node will miss the answer, and tells
            if read_if_there(room.message(number)):
                seen = time.time()
                answer = Answer(seen=seen, sent=time.time())
                write_private(room.answer(number), answer.model_dump_json().encode())
                number += 1


@dataclass(frozen=True)
class Round:
    """A message and its answer, in unix seconds; ``seen`` and ``answered`` by the doctor's clock."""

    sent: float
    seen: float
    answered: float
    back: float

    @property
    def way_s(self) -> float:
        """How long both ways took together."""
        return max(0.0, (self.back - self.sent) - (self.answered - self.seen))

    @property
    def ahead_s(self) -> float:
        """How far this host's clock is ahead of the doctor's, give or take half of the way."""
        return ((self.sent - self.seen) + (self.back - self.answered)) / 2


class Exchange:
    """Messages by files, as the jobs of a sweep write them: what each of two hosts sees of the other's."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._rounds: list[Round] = []

    def delay(self) -> Finding:
        """How long a file needs from one host to the other."""
        for number in range(MESSAGES):
            sent = time.time()
            write_private(self._room.message(number), str(sent).encode())
            content = _wait_for(partial(read_if_there, self._room.answer(number)), ANSWER_S)
            if not content:
                detail = f"within {ANSWER_S:.0f} s the doctor's answer in {self._room.root} was not seen"
                return Finding("failure", "shared folder", detail, "put --storage where all nodes see changes")
            answer = Answer.model_validate_json(content)
            self._rounds.append(Round(sent, answer.seen, answer.sent, time.time()))
        slowest = max(self._rounds, key=lambda each: each.way_s)
        ahead_s = self._fastest.ahead_s
        there_s = max(0.0, slowest.seen - slowest.sent + ahead_s)
        back_s = max(0.0, slowest.back - slowest.answered - ahead_s)
        detail = f"files show up from node to here in {there_s:.2f} s, from here to node in {back_s:.2f} s"
        if max(there_s, back_s) <= SLOW_S:
            return Finding("ok", "shared folder", detail)
        cure = "ask for a shorter attribute cache (actimeo, lookupcache=positive), or use another --storage"
        return Finding("warning", "shared folder", detail, cure)

    def skew(self) -> Finding:
        """How far the clocks are apart."""
        if not self._rounds:
            return Finding("warning", "clock", "nothing is known of it, since no message came back")
        ahead_s, give_s = self._fastest.ahead_s, self._fastest.way_s / 2
        where = "ahead of" if ahead_s > 0 else "behind"
        detail = f"the node's is {abs(ahead_s):.2f} s {where} this machine's, give or take {give_s:.2f} s"
        sure_s = abs(ahead_s) - give_s
        if sure_s <= SKEW_S:
            return Finding("ok", "clock", detail)
        cure = "have the administrator look after NTP (chronyc tracking): munge refuses beyond 5 minutes"
        return Finding("failure" if sure_s > BAD_SKEW_S else "warning", "clock", detail, cure)

    @property
    def _fastest(self) -> Round:
        return min(self._rounds, key=lambda each: each.way_s)


def _wait_for(look: Callable[[], bytes], timeout_s: float) -> bytes:
    """The first content that is seen, or nothing."""
    deadline = time.monotonic() + timeout_s
    while not (content := look()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return content
