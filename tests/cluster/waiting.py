"""Every wait has a deadline and a reason, every command a timeout."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class TestbedError(Exception):
    """The cluster did not do what it was asked; says what and why."""

    __test__ = False


def wait_for(condition: Callable[[], T], timeout_s: float, what: str | Callable[[], str]) -> T:
    """The first truthy value of ``condition``, asked five times a second; after ``timeout_s`` an error.

    ``what`` names what was awaited; as a function it is called at the deadline, to say how things stand.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TestbedError(f"after {timeout_s:g} s still no {what if isinstance(what, str) else what()}")
        time.sleep(0.2)
    return value


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,
    timeout_s: float = 60,
) -> str:
    """What ``command`` prints, without the last line end. An error holds what it said to stderr."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, env=env, cwd=cwd, input=input, timeout=timeout_s, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{' '.join(words)}: not done after {timeout_s:g} s") from error
    except OSError as error:
        raise TestbedError(f"{words[0]}: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or "it said nothing"
        raise TestbedError(f"{' '.join(words)}: exit status {done.returncode}: {said}")
    return done.stdout.rstrip("\n")
