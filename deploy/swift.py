"""OpenStack Swift with its S3 interface: a real object store that needs neither root nor Docker."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.daemon import Daemon
from deploy.files import Place, write_private
from deploy.swift_setup import ACCOUNT, MLFLOW, MODULES, REGION, TRAINER, configure, environment, install
from deploy.waiting import DeployError, answers, listens, wait_for

BUCKETS = ("wav2pix", "wav2pix-mlflow")


class Swift:
    """The S3 server of ``place``, four processes. Its faults work where the place allows them."""

    name = "the S3 server"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._folder = place.folder("swift")
        self._daemons: tuple[Daemon, ...] = ()
        self.url = f"http://{place.host}:{place.ports.s3}"
        self.access_key = f"{ACCOUNT}:{TRAINER}"
        self.access_key_of_mlflow = f"{ACCOUNT}:{MLFLOW}"

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        if not self._daemons:
            binaries = environment() / "bin"
            env = {"PYTHONPATH": str(MODULES), "PYTHONDONTWRITEBYTECODE": "1"}
            self._daemons = tuple(
                Daemon(
                    f"swift-{kind}",
                    self._place.root,
                    [binaries / f"swift-{kind}-server", self._folder / f"{kind}.conf", "--verbose"],
                    env,
                )
                for kind in ("account", "container", "object", "proxy")
            )
        return self._daemons

    def prepare(self) -> None:
        """Install Swift where it is missing, and write its configuration."""
        install()
        configure(self._place, self._folder)

    def start(self) -> None:
        """Start it and wait until it answers and its buckets are there."""
        for daemon in self.daemons:
            daemon.start()
        ports = self._place.ports
        held = (ports.s3_accounts, ports.s3_containers, ports.s3_objects, ports.s3)
        for daemon, port in zip(self.daemons, held, strict=True):
            wait_for(partial(self._listens, daemon, port), 60, daemon.last_words)
        if not self._busy.exists():
            wait_for(lambda: answers(f"{self.url}/healthcheck"), 30, self.daemons[-1].last_words)
            self._make_buckets()

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.stop()

    def kill(self) -> None:
        """SIGKILL of all its processes."""
        for daemon in reversed(self.daemons):
            daemon.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    # Faults ---------------------------------------------------------------------------------------------------

    def answer_503(self) -> None:
        """Every request gets 503 from now on."""
        self._need_faults()
        self._busy.touch()

    def answer_normally(self) -> None:
        self._busy.unlink(missing_ok=True)

    def revoke(self) -> None:
        """The access key of ``Services.env`` gets 403 from now on; MLflow's own still works."""
        self._need_faults()
        write_private(self._revoked, self.access_key)

    def restore(self) -> None:
        """The access key works again."""
        self._revoked.unlink(missing_ok=True)

    @property
    def _busy(self) -> Path:
        return self._folder / "503"

    @property
    def _revoked(self) -> Path:
        return self._folder / "revoked"

    def _need_faults(self) -> None:
        if not self._place.faults:
            raise DeployError("this S3 server was started without faults")

    # Making it ------------------------------------------------------------------------------------------------

    def _listens(self, daemon: Daemon, port: int) -> bool:
        if not daemon.alive:
            raise DeployError(daemon.last_words())
        return listens(self._place.host, port)

    def _make_buckets(self) -> None:
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.access_key_of_mlflow,
            aws_secret_access_key=self._place.secrets.s3_of_mlflow,
            config=Config(
                connect_timeout=5,
                read_timeout=20,
                retries={"mode": "standard", "max_attempts": 5},
                s3={"addressing_style": "path"},
                proxies={"http": "", "https": ""},
            ),
        )
        try:
            there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for bucket in BUCKETS:
                if bucket not in there:
                    client.create_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError) as error:
            raise DeployError(
                f"{self.name} at {self.url} makes no buckets: {error}; {self.daemons[-1].last_words()}"
            ) from error
