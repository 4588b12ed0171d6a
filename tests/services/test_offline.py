"""Compute nodes without a network: trials connect to nothing; `wav2pix sweep sync` sends everything later."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.local import Services
from tests.services.running import Sweep, check_checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Notes every connection to the addresses of the services, which in a network of its own lead here.
TRAP = """\
import os, selectors, socket, sys
parent, chosen = os.getppid(), selectors.DefaultSelector()
for port in sys.argv[2:]:
    listener = socket.create_server(("127.0.0.1", int(port)))
    chosen.register(listener, selectors.EVENT_READ)
open(sys.argv[1], "w").close()
while os.getppid() == parent:
    for key, _ in chosen.select(1):
        key.fileobj.accept()[0].close()
        with open(sys.argv[1], "a") as file:
            file.write(f"connection to port {key.fileobj.getsockname()[1]}\\n")
"""
# A loopback interface, which Ray needs, and no way out.
ALONE = ("unshare", "--net", "--map-root-user", "sh", "-c")
# One connection is made on purpose: it shows that the trap would tell of others.
SCRIPT = """\
ip link set lo up
{trap} &
while [ ! -e {noted} ]; do sleep 0.1; done
{control}
exec "$@"
"""
CONTROL = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()"


def alone(noted: Path, services: Services) -> tuple[str, ...]:
    """What a command is put behind so that it runs in a network without a route."""
    if subprocess.run([*ALONE, "ip link set lo up"], capture_output=True, timeout=20, check=False).returncode:
        why = "this machine gives no network namespace"
        pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)
    ports = [str(urlsplit(services.env[name]).port) for name in ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL")]
    trap = shlex.join([sys.executable, "-c", TRAP, str(noted), *ports])
    control = shlex.join([sys.executable, "-c", CONTROL, ports[0]])
    return (*ALONE, SCRIPT.format(trap=trap, noted=shlex.quote(str(noted)), control=control), "sh")


def everything(sweep: Sweep) -> Any:
    """All that the server knows of a sweep's runs."""
    client = sweep.client
    return {
        trial: (
            run.to_dictionary(),
            {
                key: [point.to_dictionary() for point in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            },
            sorted(file.path for file in client.list_artifacts(run.info.run_id, "images")),
        )
        for trial, run in sweep.runs().items()
    }


def test_offline_trials_connect_to_nothing_and_sync_sends_all_once(
    services: Services, tmp_path: Path, tiny_data: Path
) -> None:
    noted = tmp_path / "connections"
    fields = {"trials": 2, "epochs": 5, "max_concurrent": 2, "tracking": {"offline": True}}
    sweep = Sweep.make(tmp_path, tiny_data, "offline", services.env, 0.2, **fields)
    try:
        sweep.start(alone(noted, services))
        words = sweep.finish(180)
    finally:
        sweep.end()
    assert "left 0" in words
    assert noted.read_text().count("\n") == 1, "trials or their driver connected to a service"
    for trial in range(2):
        assert not (sweep.folder.trial_journal(trial) / "sent.json").exists()
        assert "racking" not in sweep.folder.trial_log(trial).read_text()
    where = ("--storage", str(sweep.folder.root.parent))
    done = json.loads(sweep.run("sweep", "sync", "offline", *where, "--json"))
    assert (done["sent"], done["closed"], done["problems"]) == (3, 3, [])
    sweep.check_whole(2, 5)
    check_checkpoints(services, sweep, 5)
    before = everything(sweep)
    assert "has everything" in sweep.run("sweep", "sync", "offline", *where)
    assert everything(sweep) == before
