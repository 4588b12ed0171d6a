"""The MLflow server on PostgreSQL and the S3 server, to which it passes artifacts on."""

from __future__ import annotations

import os
import sys

from deploy.daemon import Daemon
from deploy.files import Place
from deploy.postgres import Postgres
from deploy.swift import BUCKETS, Swift
from deploy.swift_setup import REGION
from deploy.waiting import DeployError, answers, wait_for


class MLflow:
    """The tracking server of ``place``."""

    name = "the MLflow server"

    def __init__(self, place: Place, postgres: Postgres, s3: Swift) -> None:
        self.url = f"http://{place.host}:{place.ports.mlflow}"
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", place.host, "--port", str(place.ports.mlflow)]
        command += ["--serve-artifacts", "--artifacts-destination", f"s3://{BUCKETS[1]}"]
        env = {
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg://{postgres.address}",
            "PGPASSFILE": str(postgres.passwords),
            "MLFLOW_S3_ENDPOINT_URL": s3.url,
            "AWS_ACCESS_KEY_ID": s3.access_key_of_mlflow,
            "AWS_SECRET_ACCESS_KEY": place.secrets.s3_of_mlflow,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Settings of whoever starts it are not the server's.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Jobs are for language models, and cost memory and seconds.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self._daemon = Daemon("mlflow", place.root, command, env)

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        return (self._daemon,)

    def launch(self) -> None:
        """Start it without waiting for its first answer."""
        self._daemon.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        wait_for(self._answers, 120, self._daemon.last_words)

    def stop(self) -> None:
        self._daemon.stop()

    def kill(self) -> None:
        """SIGKILL of all its processes."""
        self._daemon.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _answers(self) -> bool:
        if not self._daemon.alive:
            raise DeployError(self._daemon.last_words())
        return answers(f"{self.url}/health")
