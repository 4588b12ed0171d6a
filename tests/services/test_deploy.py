"""``python -m deploy``, which is ``make services``, and what describes the same for Docker."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import yaml
from mlflow import MlflowClient

from deploy.daemon import Daemon
from deploy.files import Ports, taken
from deploy.local import obstacle
from deploy.waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for services that are ended after the test, whatever it did."""
    if (why_not := obstacle()) and os.environ.get("CI") != "true":
        pytest.skip(why_not)
    with tempfile.TemporaryDirectory(prefix="wav2pix-deploy-") as name:
        try:
            yield Path(name)
        finally:
            deploy("stop", Path(name))


def deploy(command: str, folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "deploy", command, "--folder", folder, *options]
    text = [str(word) for word in words]
    return subprocess.run(text, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def free_ports() -> list[object]:
    """Options that put all servers on ports that nobody uses."""
    while True:
        ports = Ports.free()
        if not any(taken("127.0.0.1", ports.s3 + offset) for offset in range(4)):
            return ["--mlflow-port", ports.mlflow, "--postgres-port", ports.postgres, "--s3-port", ports.s3]


def lives(pid: int) -> bool:
    """Whether the process runs; one that nobody has asked for its exit code yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_of(folder: Path) -> list[int]:
    return [int(path.read_text().split()[0]) for path in folder.glob("*.pid")]


@pytest.mark.slow
def test_services_start_once_keep_their_data_over_a_stop_and_end_when_told(folder: Path) -> None:
    options = free_ports()
    first = deploy("start", folder, *options)
    assert first.returncode == 0, first.stderr
    assert f"source {folder}/env" in first.stdout
    pids = pids_of(folder)
    assert len(pids) == 6
    env = exported(folder)
    assert env["AWS_SECRET_ACCESS_KEY"] not in first.stdout
    client = MlflowClient(env["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment("kept")
    s3(env).put_object(Bucket="wav2pix", Key="kept", Body=b"kept")

    again = deploy("start", folder)
    assert "run already" in again.stdout
    assert pids_of(folder) == pids
    other = deploy("start", folder, *free_ports())
    assert other.returncode == 1
    assert "on other ports" in other.stderr

    stopped = deploy("stop", folder)
    assert stopped.stdout.startswith("Ended: mlflow, ")
    assert not [pid for pid in pids if lives(pid)]
    assert deploy("stop", folder).stdout == "No services ran.\n"

    back = deploy("start", folder)
    assert back.returncode == 0, back.stderr
    assert exported(folder) == env
    assert client.get_experiment(experiment).name == "kept"
    assert s3(env).get_object(Bucket="wav2pix", Key="kept")["Body"].read() == b"kept"


def exported(folder: Path) -> dict[str, str]:
    lines = (folder / "env").read_text().splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


def s3(env: dict[str, str]) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def test_a_port_that_another_program_holds_is_named_before_anything_starts(folder: Path) -> None:
    options = free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(str(options[1]))))
        other.listen()
        done = deploy("start", folder, *options)
    assert done.returncode == 1
    assert f"another program uses 127.0.0.1:{options[1]}" in done.stderr
    assert "--mlflow-port" in done.stderr
    assert "Traceback" not in done.stderr
    assert pids_of(folder) == []


def test_a_folder_with_other_things_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    (tmp_path / "thesis.tex").touch()
    done = deploy("start", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"{tmp_path}: neither empty nor a folder of services; choose another with --folder\n"
    )
    assert tmp_path.stat().st_mode & 0o777 == 0o750
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_stopping_where_nothing_is_makes_nothing(tmp_path: Path) -> None:
    done = deploy("stop", tmp_path / "typo")
    assert done.returncode == 1
    assert "no such folder" in done.stderr
    assert not (tmp_path / "typo").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as another user")
def test_a_folder_that_the_database_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    done = deploy("start", closed / "services", *free_ports())
    assert done.returncode == 1
    assert f"cannot enter {closed}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pid_file_of_a_process_that_is_not_ours_harms_nobody(tmp_path: Path) -> None:
    daemon = Daemon("sleeper", tmp_path, ["sleep", "60"])
    daemon.start()
    pid, start, boot = (tmp_path / "sleeper.pid").read_text().split()
    assert daemon.alive
    daemon.stop()
    assert not lives(int(pid))
    with subprocess.Popen(["sleep", "60"]) as neighbour:
        try:
            # The number is another's now, who started at another time.
            (tmp_path / "sleeper.pid").write_text(f"{neighbour.pid} {int(start) - 1} {boot}")
            assert not daemon.alive
            daemon.stop()
            daemon.kill()
            assert neighbour.poll() is None
        finally:
            neighbour.kill()


def test_a_daemon_ends_with_all_that_it_started_when_its_first_process_has_died(tmp_path: Path) -> None:
    daemon = Daemon("parent", tmp_path, ["sh", "-c", "sleep 60 & echo $!; wait"])
    daemon.start()
    wait_for(lambda: bool(daemon.log.read_text()), 10, lambda: "the number of the child")
    child = int(daemon.log.read_text())
    os.kill(int((tmp_path / "parent.pid").read_text().split()[0]), signal.SIGKILL)
    wait_for(lambda: not daemon.alive, 10, lambda: "the end of the first process")
    assert lives(child)
    daemon.kill()
    assert not lives(child)


THREAD_THAT_OUTLIVES_THE_FIRST = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_daemon_whose_first_thread_has_ended_lives_until_the_others_end_too(tmp_path: Path) -> None:
    daemon = Daemon("threads", tmp_path, [sys.executable, "-c", THREAD_THAT_OUTLIVES_THE_FIRST])
    daemon.start()
    pid = int((tmp_path / "threads.pid").read_text().split()[0])
    wait_for(lambda: not lives(pid), 20, lambda: "the end of the first thread")
    assert daemon.alive
    assert daemon.pids() == [pid]
    daemon.kill()
    assert not Path(f"/proc/{pid}").exists()


def test_the_compose_file_publishes_on_loopback_and_holds_no_secret() -> None:
    path = ROOT / "deploy" / "compose.yaml"
    compose = yaml.safe_load(path.read_text())
    servers = {name: each for name, each in compose["services"].items() if each.get("restart") != "no"}
    assert set(servers) == {"postgres", "s3", "mlflow"}
    for name, server in servers.items():
        assert "healthcheck" in server, name
        assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in server.get("ports", [])), name
        assert not re.search(r":latest|:$", server.get("image", "")), name
    assert {volume.split(":")[0] for server in servers.values() for volume in server.get("volumes", [])} == set(
        compose["volumes"]
    )
    secret = [
        line for line in path.read_text().splitlines() if re.search(r"(PASSWORD|SECRET|ACCESS_KEY).*: ", line)
    ]
    assert len(secret) > 3
    assert all(re.search(r": \$\{\w+:\?", line) or ": *" in line for line in secret), secret
    example = (ROOT / "deploy" / "env.example").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", path.read_text()))
    assert asked == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
