"""How a bucket is reached: addresses, certificates, and servers that never answer."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import StorageError
from orchestration.storage import Artifacts, StoreAway, s3_client
from orchestration.storage.s3 import S3Store

EMPTY = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'


class Server(ThreadingHTTPServer):
    """Every bucket of it is empty. Keeps who was asked for what."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        self.released = threading.Event()
        self.released.set()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.released.wait(20)
        self.server.asked.append((self.headers["Host"], self.path.partition("?")[0]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(EMPTY)))
        self.end_headers()
        self.wfile.write(EMPTY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    values = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "word", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_a_bucket_is_in_the_path_wherever_there_is_an_endpoint(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"http://127.0.0.1:{server.server_port}"
    S3Store(Artifacts(uri="s3://bucket/x", endpoint=endpoint), "y").list("trials")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    S3Store(Artifacts(uri="s3://bucket/x"), "y").list("trials")
    assert server.asked == [(f"127.0.0.1:{server.server_port}", "/bucket")] * 2


def test_a_bucket_is_in_the_name_of_the_host_if_the_file_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, look_up = [], socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        names.append(host)
        return look_up("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    endpoint = f"http://s3.lab.example:{server.server_port}"
    S3Store(Artifacts(uri="s3://bucket/x", endpoint=endpoint, path_style=False), "y").list("trials")
    assert server.asked == [(f"bucket.s3.lab.example:{server.server_port}", "/")]
    assert set(names) == {"bucket.s3.lab.example"}


def test_a_certificate_must_be_known_or_given(server: Server, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    settings = Artifacts(uri="s3://bucket/x", endpoint=f"https://127.0.0.1:{server.server_port}")
    with pytest.raises(StorageError, match="ca_bundle") as raised:
        S3Store(settings, "y").list("trials")
    assert not isinstance(raised.value, StoreAway)
    assert S3Store(settings.model_copy(update={"ca_bundle": certificate}), "y").list("trials") == []


def test_a_server_that_takes_a_request_and_never_answers_is_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_client, "READ_TIMEOUT_S", 0.2)
    server.released.clear()
    settings = Artifacts(uri="s3://bucket/x", endpoint=f"http://127.0.0.1:{server.server_port}")
    started = time.monotonic()
    with pytest.raises(StoreAway, match="does not answer"):
        S3Store(settings, "y").list("trials")
    assert time.monotonic() - started < 15
