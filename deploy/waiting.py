"""Every wait has a deadline and a reason, every command a timeout."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class DeployError(Exception):
    """A service did not do what it was asked; says which, where and what to do."""


def wait_for(condition: Callable[[], bool], timeout_s: float, what: Callable[[], str]) -> None:
    """Ask ``condition`` ten times a second until it holds; after ``timeout_s`` an error that says ``what``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise DeployError(f"not there after {timeout_s:g} s: {what()}")
        time.sleep(0.1)


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> str:
    """What ``command`` prints. An error holds the last lines of what it said."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(  # noqa: S603
            words, env=env, cwd="/", timeout=timeout_s, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"{' '.join(words)}: not done after {timeout_s:g} s") from error
    except OSError as error:
        raise DeployError(f"{words[0]}: {error.strerror}") from error
    if done.returncode:
        said = "\n".join((done.stderr + done.stdout).strip().splitlines()[-10:]) or "it said nothing"
        raise DeployError(f"{' '.join(words)}: exit status {done.returncode}: {said}")
    return done.stdout


def listens(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with suppress(OSError), socket.create_connection((host, port), timeout=2):
        return True
    return False


def answers(url: str) -> bool:
    """Whether a GET of ``url`` is answered with 200, whatever proxy the environment names."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError), direct.open(url, timeout=5) as response:
        return bool(response.status == 200)
    return False
