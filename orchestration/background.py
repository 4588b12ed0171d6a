"""A thread that brings things to a service that may be away, and tries again until they are there."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from orchestration.errors import OrchestrationError

FIRST_WAIT_S = 0.5
LAST_WAIT_S = 30.0

# Asked now and then: whether there is no time left.
IsOver = Callable[[], bool]


class Background:
    """Calls ``work`` whenever there is something to do, and again, after a while that grows, when it fails.

    Args:
        work: does all that there is to do, or raises; is given what says whether its time is up.
        name: of the thread.

    Attributes:
        away: why ``work`` could not do it the last time; empty if it could.
    """

    def __init__(self, work: Callable[[IsOver], None], name: str) -> None:
        self.away = ""
        self._work = work
        self._condition = threading.Condition()
        self._news = False
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        with self._condition:
            self._news = True
            self._condition.notify()

    def close(self, timeout_s: float) -> None:
        """Wait until all is done or the time is up, and end the thread."""
        with self._condition:
            self._deadline = time.monotonic() + timeout_s
            self._condition.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while self._has_news():
            try:
                self._work(self._is_over)
                self.away, wait_s = "", FIRST_WAIT_S
            except Exception as error:
                # Whatever it was: a thread that is gone would leave the rest unsent, and nobody would hear why.
                self.away = str(error) if isinstance(error, OrchestrationError) else repr(error)
                self._pause(wait_s)
                wait_s = min(2 * wait_s, LAST_WAIT_S)

    def _has_news(self) -> bool:
        """Wait until there is something to do; False: it is time to end."""
        with self._condition:
            self._condition.wait_for(lambda: self._news or self._deadline is not None)
            news, self._news = self._news, False
        return news and not self._is_over()

    def _pause(self, wait_s: float) -> None:
        """Those that lost a service together must not come back together."""
        is_closing = self._deadline is not None
        wait_s *= random.uniform(0.5, 1.5)
        with self._condition:
            self._news = True
            if not is_closing:
                self._condition.wait_for(lambda: self._deadline is not None, wait_s)
        if is_closing:
            time.sleep(min(FIRST_WAIT_S, wait_s))

    def _is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline
