"""A submitted sweep that needs credentials leaves them nowhere: what others can read is searched for them."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import psycopg
import pytest

from deploy.local import Services
from orchestration.driver import read_sweep
from orchestration.folders import Storage
from tests.services.running import REPOSITORY, SPEC

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SETTINGS: dict[str, Any] = {
    "batch_size": 8,
    "encoder.channels": [8, 8, 8, 8, 8, 8],
    "generator.channels": [16, 16, 16, 16, 16],
    "discriminator.channels": [8, 8, 8, 8],
}
SEARCH = {"optimizer.lr_generator": {"type": "log_uniform", "low": 1e-4, "high": 5e-3}}
DEADLINE_S = 180.0


def written_ways(secret: str) -> list[bytes]:
    """As it may be written somewhere."""
    plain = secret.encode()
    # Of a longer text in base64 the middle is the same at one of three places.
    shifted = [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return [plain, quote(secret, safe="").encode(), plain.hex().encode(), *shifted]


class Search:
    """Looks for secrets, and for a word that is everywhere, which shows that it looks."""

    def __init__(self, hidden: Sequence[str], control: str) -> None:
        self._needles = [needle for secret in hidden for needle in written_ways(secret)]
        self._control = control.encode()
        self.found: set[str] = set()
        self.seen: set[str] = set()

    def look(self, content: bytes, kind: str, where: str) -> None:
        for needle in self._needles:
            if (at := content.find(needle)) >= 0:
                self.found.add(f"{kind}: {where}: {content[max(0, at - 300) : at]!r}")
        if self._control in content or self._control in where.encode():
            self.seen.add(kind)

    def arguments(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                self.look((folder / "cmdline").read_bytes(), "argv", folder.name)
            except OSError:
                continue

    def files(self, root: Path, kind: str, pattern: str = "*") -> None:
        # Unlike rglob, walk goes on where a folder vanishes meanwhile.
        for path in (Path(folder, name) for folder, _, names in os.walk(root) for name in names):
            try:
                if path.match(pattern) and path.is_file() and path.name != "variables.json":
                    self.look(path.read_bytes(), kind, str(path))
            except OSError:
                continue

    def database(self, connection: psycopg.Connection[Any]) -> None:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f'SELECT t::text FROM "{table}" t'):  # noqa: S608
                self.look(row.encode(), "database", table)

    def bucket(self, client: Any, name: str) -> None:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for item in page.get("Contents", []):
                content = client.get_object(Bucket=name, Key=item["Key"])["Body"].read()
                self.look(content, f"bucket {name}", item["Key"])


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Short enough for the names of Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_secrets_are_in_no_argument_script_log_pickle_param_tag_or_artifact(
    services: Services, tmp_path: Path, tiny_data: Path, scratch: Path
) -> None:
    name = "leaks"
    hidden = {
        "MLFLOW_TRACKING_TOKEN": secrets.token_urlsafe(24),
        "HF_TOKEN": secrets.token_hex(16),
        "LAB_DB_PASSWORD": f"p@ss/{secrets.token_hex(8)}",
    }
    search = Search([*hidden.values(), services.env["AWS_SECRET_ACCESS_KEY"]], name)
    storage = Storage(tmp_path / "runs")
    spec = SPEC | {
        **{"name": name, "data": str(tiny_data), "storage": str(storage.root), "settings": SETTINGS},
        **{"search": SEARCH, "trials": 2, "epochs": 2, "max_concurrent": 2},
    }
    (tmp_path / f"{name}.yaml").write_text(json.dumps(spec))
    profile = {"scheduler": "local", "worker": {"cpus": 1, "memory_gb": 2}, "workers": {"max": 1}}
    (tmp_path / "here.yaml").write_text(json.dumps(profile | {"scratch": str(scratch)}))
    env = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    env |= {**services.env, **hidden, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def wav2pix(*arguments: str) -> str:
        command = [sys.executable, "-m", "orchestration", "sweep", *arguments]
        done = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        search.look((done.stdout + done.stderr).encode(), "terminal", name)
        return done.stdout

    where = ("--storage", str(storage.root))
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.3):
            search.arguments()
            search.files(scratch, "temporary file")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        wav2pix("submit", f"{name}.yaml", "--cluster", str(tmp_path / "here.yaml"))
        variables = storage.sweep(name).cluster / "variables.json"
        assert variables.stat().st_mode & 0o777 == 0o600
        assert hidden["HF_TOKEN"] in variables.read_text(), "jobs have no credentials"
        deadline = time.monotonic() + DEADLINE_S
        while read_sweep(storage.sweep(name)).num_left:
            assert time.monotonic() < deadline, wav2pix("status", name, *where)
            search.files(tmp_path, "sweep folder")
            time.sleep(2)
    finally:
        over.set()
        watcher.join(20)
        wav2pix("cancel", name, *where)
    wav2pix("export", name, "--out", str(tmp_path / "best"), *where)
    search.files(tmp_path, "sweep folder")
    with services.postgres.connect() as connection:
        search.database(connection)
    client = boto3.client(
        "s3",
        endpoint_url=services.env["AWS_ENDPOINT_URL"],
        aws_access_key_id=services.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=services.env["AWS_SECRET_ACCESS_KEY"],
        region_name=services.env["AWS_DEFAULT_REGION"],
    )
    search.bucket(client, "wav2pix")
    search.files(services.env_file.parent, "server log", "*log*")
    assert search.found == set()
    assert {"argv", "terminal", "sweep folder", "temporary file", "database", "bucket wav2pix"} <= search.seen
