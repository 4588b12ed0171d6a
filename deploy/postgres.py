"""PostgreSQL from the system's packages, with a data folder of its own.

It refuses to run as root; there it runs as the user ``postgres`` of the package.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import psycopg

from deploy.daemon import Daemon, plain_environment
from deploy.files import Place, write_private
from deploy.waiting import DeployError, run, wait_for

USER = "wav2pix"
DATABASE = "mlflow"
HOW_TO_GET_IT = (
    "PostgreSQL's server is not on this machine: ask for the package postgresql (Debian, Ubuntu), "
    "or put its bin folder on the PATH"
)
POLICY = Path("/usr/sbin/policy-rc.d")


class Postgres:
    """The database server of ``place``. ``passwords`` is a file as libpq reads it (PGPASSFILE)."""

    name = "PostgreSQL"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._data = place.root / "postgres"
        self.passwords = place.root / "pgpass"
        self._daemon: Daemon | None = None

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        return (self._server,)

    @property
    def address(self) -> str:
        """The database without a password, as SQLAlchemy and libpq know it after their own prefix."""
        return f"{USER}@{self._place.host}:{self._place.ports.postgres}/{DATABASE}"

    def prepare(self) -> None:
        """Install the server where that is possible, and make its data folder."""
        place = self._place
        # Not quoted: the secret is hexadecimal.
        write_private(self.passwords, f"*:{place.ports.postgres}:*:{USER}:{place.secrets.postgres}\n")
        install()
        if not (self._data / "PG_VERSION").exists():
            self._make_data()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._server.start()
        wait_for(self._answers, 60, self._server.last_words)

    def stop(self) -> None:
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL of all its processes."""
        self._server.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def connect(self) -> psycopg.Connection:
        """A connection to MLflow's database."""
        return self._connect(DATABASE)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=self._place.host,
            port=self._place.ports.postgres,
            user=USER,
            dbname=database,
            password=self._place.secrets.postgres,
            connect_timeout=5,
            autocommit=True,
        )

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), self._connect("postgres") as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")
            return True
        if not self._server.alive:
            raise DeployError(self._server.last_words())
        return False

    @property
    def _server(self) -> Daemon:
        if self._daemon is None:
            place = self._place
            quick = {} if place.durable else {"fsync": "off", "full_page_writes": "off"}
            settings = quick | {
                "listen_addresses": place.host,
                "port": str(place.ports.postgres),
                "unix_socket_directories": "",
                "max_connections": "200",
                "max_wal_size": "1GB",
                "log_statement": "none",
                "log_parameter_max_length_on_error": "0",
            }
            words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
            command = [*_as_user(), _binaries(self._data) / "postgres", "-D", self._data, *words]
            # SIGINT: do not wait for clients to leave.
            self._daemon = Daemon("postgres", place.root, command, stop_signal=signal.SIGINT)
        return self._daemon

    def _make_data(self) -> None:
        place = self._place
        owner = _owner()
        # Made beside its place and moved there when whole: what was interrupted is made again.
        new, password = place.root / "postgres.new", place.root / "initial-password"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        os.chown(new, *owner)
        _check_reachable(new)
        write_private(password, place.secrets.postgres, owner)
        options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}", "--encoding=UTF8"]
        quick = [] if place.durable else ["--no-sync"]
        command = [*_as_user(), _binaries() / "initdb", "-D", new, "--locale=C", *options, *quick]
        try:
            run(command, env=plain_environment(), timeout_s=120)
        finally:
            password.unlink()
        new.rename(self._data)


def install() -> None:
    """Install Debian's package where no server is found, without starting the one that the package makes."""
    if _find_binaries():
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise DeployError(HOW_TO_GET_IT)
    quiet = not POLICY.exists()
    if quiet:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    env = plain_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(["apt-get", "update", "-qq"], env=env, timeout_s=300)
        options = ["--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
        run(["apt-get", "install", *options, "postgresql"], env=env, timeout_s=600)
    finally:
        if quiet:
            POLICY.unlink()


def _binaries(data: Path | None = None) -> Path:
    """The folder with ``postgres``: of the version that made ``data``, or the newest."""
    made_by = data / "PG_VERSION" if data else None
    wanted = made_by.read_text().strip() if made_by and made_by.exists() else ""
    if found := _find_binaries(wanted):
        return found
    raise DeployError(HOW_TO_GET_IT + (f"; {data} needs version {wanted}" if wanted else ""))


def _find_binaries(version: str = "") -> Path | None:
    packaged = Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres")
    newest_first = sorted(packaged, key=lambda path: int(path.parts[-3]), reverse=True)
    for path in newest_first:
        if version in ("", path.parts[-3]):
            return path.parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path and not newest_first else None


def _as_user() -> list[str | Path]:
    """The words before a command that make it PostgreSQL's user's."""
    if os.geteuid() != 0:
        return []
    uid, gid = _owner()
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--"]


def _owner() -> tuple[int, int]:
    """Who runs PostgreSQL: user and group."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError as error:
        raise DeployError("PostgreSQL does not run as root, and there is no user postgres: add one") from error
    return entry.pw_uid, entry.pw_gid


def _check_reachable(folder: Path) -> None:
    try:
        run([*_as_user(), "test", "-x", folder])
    except DeployError as error:
        raise DeployError(
            f"PostgreSQL, which does not run as root, cannot enter {folder}: choose another with --folder, "
            "or let users pass (chmod o+x) through those above it"
        ) from error
