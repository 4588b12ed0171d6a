"""A server in the background: started, found again by its pid file, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.files import write_private
from deploy.waiting import DeployError, wait_for

BOOT = Path("/proc/sys/kernel/random/boot_id")


class Daemon:
    """One server process with its log and its pid file in ``folder``.

    It outlives the process that starts it, and its environment is ``env`` and little else: what a person has
    exported, an address of another MLflow server for one, does not reach it.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._pid_file = folder / f"{name}.pid"
        self._command = [str(word) for word in command]
        self._env = dict(env or {})
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; nothing happens when it runs."""
        if self.alive:
            return
        self.kill()  # What it may have left behind when it died.
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                self._command,
                env=plain_environment() | self._env,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise DeployError(f"{self.name}: {self._command[0]}: {error.strerror}") from error
        finally:
            os.close(log)
        write_private(self._pid_file, f"{self._process.pid} {_start_of(self._process.pid)}")

    @property
    def alive(self) -> bool:
        pid, start = self._recorded()
        return bool(start) and _start_of(pid) == start

    def kill(self) -> None:
        """SIGKILL of all its processes."""
        wait_for(self._struck, 20, lambda: f"the end of {self.name}: {self.pids()} cannot be killed")
        if self._process is not None:
            self._process.poll()
        self._pid_file.unlink(missing_ok=True)

    def _struck(self) -> bool:
        """Whether none of its processes was left to kill."""
        members = self.pids()
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not members

    def pids(self) -> list[int]:
        """The server and what it started: its descendants, and who is in its session when it has died."""
        pid, start = self._recorded()
        if not start.endswith(_boot()) or _start_of(pid) not in ("", start):
            return []
        found = {member for member in psutil.pids() if _session(member) == pid}
        with suppress(psutil.NoSuchProcess):
            found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
        # One that has ended counts no more, although its parent has not asked for its exit code yet.
        return [member for member in found if _start_of(member)]

    def stop(self, grace_s: float = 10) -> None:
        """Ask it to end, and kill what is left after ``grace_s``."""
        if self.alive:
            pid, _ = self._recorded()
            with suppress(ProcessLookupError):
                os.kill(pid, self._stop_signal)
            with suppress(DeployError):
                wait_for(lambda: not self.alive, grace_s, lambda: f"the end of {self.name}")
        self.kill()

    def last_words(self) -> str:
        said = self.log.read_text(errors="replace").splitlines()[-8:] if self.log.exists() else []
        return "\n".join([f"{self.name}, whose log {self.log} ends with:", *said])

    def _recorded(self) -> tuple[int, str]:
        with suppress(OSError, ValueError):
            pid, _, start = self._pid_file.read_text().partition(" ")
            return int(pid), start
        return 0, ""


def plain_environment() -> dict[str, str]:
    """What any program needs, and nothing that changes what a server does."""
    kept = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH")
    return {key: os.environ[key] for key in kept if key in os.environ} | {"LANG": "C.UTF-8"}


def _start_of(pid: int) -> str:
    """When a living process started, unlike that of any other process; empty when there is none."""
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # Threads that live on after the first one hold the ports until they end too.
        ended = fields[0] in "ZX" and len(list(Path(f"/proc/{pid}/task").iterdir())) < 2
        return "" if ended else f"{fields[19]} {_boot()}"
    return ""


def _boot() -> str:
    return BOOT.read_text().strip()


def _session(pid: int) -> int:
    with suppress(OSError):
        return os.getsid(pid)
    return -1
