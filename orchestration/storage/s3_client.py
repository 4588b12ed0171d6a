"""A bucket: how it is reached, and what its refusals mean."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection

from orchestration.errors import StorageError
from orchestration.storage.errors import StoreAway
from orchestration.storage.settings import Artifacts

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
ATTEMPTS = 3
# Connections at a time: parts of large files, and files.
CONNECTIONS = 10
NO_ACCESS = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}


class Bucket:
    """One bucket of one server; any thread may use it."""

    def __init__(self, artifacts: Artifacts) -> None:
        self.name = artifacts.bucket
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._client: Any = None

    @contextmanager
    def asked(self) -> Iterator[Any]:
        """Boto3's client, during a block whose errors become ours.

        Raises:
            StoreAway: the server does not answer, or not us; that may pass.
            StorageError: what asking again does not mend.
        """
        try:
            yield self._connect()
        except (ClientError, BotoCoreError, Boto3Error) as error:
            raise self._explained(error) from error

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _client(self._artifacts)
            return self._client

    def _explained(self, error: Exception) -> StorageError:
        if isinstance(error, Boto3Error) and isinstance(error.__context__, ClientError | BotoCoreError):
            error = error.__context__
        where = f"the bucket '{self.name}' at {self._server()}"
        if isinstance(error, ClientError):
            return self._refusal(error, where)
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return StorageError(
                f"no credentials for {where}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws"
            )
        if isinstance(error, SSLError):
            return StorageError(
                f"{where} has a certificate that is not trusted; set 'artifacts: {{ca_bundle: ...}}'"
            )
        if isinstance(error, HTTPClientError | NoConnection):
            return StoreAway(f"{where} does not answer ({type(error).__name__}); see that the server runs")
        return StorageError(f"{where} cannot be used: {error}")

    def _refusal(self, error: ClientError, where: str) -> StorageError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchBucket":
            return StorageError(
                f"there is no bucket '{self.name}' at {self._server()}; "
                "make it, or correct 'artifacts: {uri: ...}'"
            )
        if code == "RequestTimeTooSkewed":
            return StoreAway(
                f"{where} refuses us: the clocks of this machine and of the server differ; set them"
            )
        if status in (401, 403) or code in NO_ACCESS:
            # The next attempt looks for credentials anew: somebody may have written others to ~/.aws.
            self._client = None
            return StoreAway(f"{where} refuses these credentials ({code}); renew them, or ask for access")
        if code in OTHER_REGION:
            return StorageError(f"{where} is of another region ({code}); set 'artifacts: {{region: ...}}'")
        if status >= 500 or code in ("SlowDown", "BadDigest", "RequestTimeout"):
            return StoreAway(f"{where} cannot answer now ({status} {code}); see how the server does")
        return StorageError(f"{where} refuses {error.operation_name}: {status} {code}")

    def _server(self) -> str:
        client = self._client
        return str(client.meta.endpoint_url) if client else self._artifacts.endpoint or "its server"


def _client(artifacts: Artifacts) -> Any:
    endpoint = artifacts.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    style = {True: "path", False: "virtual", None: "path" if endpoint else "auto"}[artifacts.path_style]
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        # Waits between attempts are drawn at random and grow.
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=2 * CONNECTIONS,
        s3={"addressing_style": style},
    )
    # A session of its own: the module's shared one is for one thread only, and remembers credentials.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=artifacts.region or None,
        verify=str(artifacts.ca_bundle) if artifacts.ca_bundle else None,
        config=config,
    )
