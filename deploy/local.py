"""All services of this machine together.

::

    with Services.start(folder) as services:
        os.environ.update(services.env)
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from deploy import postgres, swift_setup
from deploy.daemon import Daemon, plain_environment
from deploy.files import (
    LOOPBACK,
    Place,
    Ports,
    exports,
    locked,
    remember_ports,
    remembered_ports,
    taken,
    write_private,
)
from deploy.mlflow_server import MLflow
from deploy.postgres import Postgres
from deploy.swift import BUCKETS, Swift
from deploy.swift_setup import REGION
from deploy.waiting import DeployError

__all__ = ["DeployError", "Ports", "Services", "obstacle"]

ROOT = Path(__file__).parent.parent


def obstacle() -> str:
    """Install what is missing; says why there can be no services here, empty when there can."""
    try:
        postgres.install()
        swift_setup.install()
    except DeployError as error:
        return str(error)
    return ""


class Services:
    """PostgreSQL, the S3 server and the MLflow server in one folder.

    Each has ``start()``, which waits until it answers, ``stop()``, ``restart()`` and ``kill()`` (SIGKILL). The
    S3 server also has ``answer_503()``, ``answer_normally()``, ``revoke()`` and ``restore()``.
    """

    def __init__(self, folder: Path, ports: Ports, host: str, durable: bool, faults: bool) -> None:
        self._place = place = Place.open(folder.resolve(), host, ports, durable, faults)
        self.postgres = Postgres(place)
        self.s3 = Swift(place)
        self.mlflow = MLflow(place, self.postgres, self.s3)

    @classmethod
    @contextmanager
    def start(cls, folder: Path, ports: Ports | None = None, host: str = LOOPBACK) -> Iterator[Services]:
        """Services for tests and benchmarks, which end with the context, or with this process.

        They are quick rather than safe: a crash of the machine may cost their data. ``folder`` must be one that
        every user can enter, when root starts them. Without ``ports`` they are free ones.
        """
        services = cls(folder, ports or Ports.free(host), host, durable=False, faults=True)
        with ExitStack() as stack:
            stack.enter_context(services._guarded())
            stack.callback(services.kill)
            services.up()
            yield services

    @property
    def env(self) -> dict[str, str]:
        """What a program needs to use them."""
        return {
            "MLFLOW_TRACKING_URI": self.mlflow.url,
            "AWS_ENDPOINT_URL": self.s3.url,
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self._place.secrets.s3,
            "AWS_DEFAULT_REGION": REGION,
            "WAV2PIX_ARTIFACTS": f"s3://{BUCKETS[0]}/sweeps",
        }

    @property
    def env_file(self) -> Path:
        return self._place.root / "env"

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        """The processes, in the order in which they end."""
        return (*self.mlflow.daemons, *self.s3.daemons, *self.postgres.daemons)

    @property
    def running(self) -> bool:
        return all(daemon.alive for daemon in self.daemons)

    def up(self) -> None:
        """Start what does not run, and wait until all answer."""
        with self._alone():
            self._check_ports()
            remember_ports(self._place.root, self._place.ports)
            self.postgres.prepare()
            self.s3.prepare()
            self.postgres.start()
            self.mlflow.launch()  # The slowest: the S3 server starts meanwhile.
            self.s3.start()
            self.mlflow.start()
            write_private(self.env_file, exports(self.env))

    def down(self) -> None:
        """End all, each in its own way."""
        with self._alone():
            for daemon in self.daemons:
                daemon.stop()

    def kill(self) -> None:
        """End all at once."""
        for daemon in self.daemons:
            daemon.kill()

    def _alone(self) -> AbstractContextManager[None]:
        return locked(self._place.root / "lock", timeout_s=300)

    def _check_ports(self) -> None:
        """A port that another program holds would look like a server of ours that answers."""
        ports, host = self._place.ports, self._place.host
        if remembered_ports(self._place.root) != ports and any(daemon.alive for daemon in self.daemons):
            raise DeployError("the services run on other ports: end them first, with make services-stop")
        s3 = (ports.s3_accounts, ports.s3_containers, ports.s3_objects, ports.s3)
        held = (ports.mlflow, *s3, ports.postgres)
        for daemon, port in zip(self.daemons, held, strict=True):
            if daemon.alive:
                continue
            daemon.kill()  # What a server that died has left behind would hold its port.
            if taken(host, port):
                raise DeployError(
                    f"{daemon.name}: another program uses {host}:{port}; choose ports with --mlflow-port, "
                    "--postgres-port and --s3-port"
                )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A process that ends the services when this one is killed: it then reads the end of its input."""
        words = [sys.executable, "-m", "deploy", "guard", "--folder", str(self._place.root)]
        with subprocess.Popen(  # noqa: S603
            words, env=plain_environment(), cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
        ) as guard:
            try:
                yield
            finally:
                guard.kill()
