"""The doctor on this machine, and what it makes of the ways in which a job can go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestration.clusters import load_profile, profile_names
from orchestration.doctoring import look_at_storage, look_at_tracking
from slurm.doctor import Plan, examine, open_room
from slurm.errors import NoAnswer, SchedulerError
from slurm.exchange import Round
from slurm.probes import DRIVER
from slurm.report import Finding, Probe
from slurm.site import explain
from tests.slurm import bodies

ROOT = Path(__file__).parents[2]


def visit(folder: Path, extra: Sequence[Probe] = (), **changes: Any) -> dict[str, Finding]:
    """What the doctor finds on this machine."""
    profile = load_profile("local").model_copy(update=changes)
    with open_room(folder / "runs") as room:
        plan = Plan(profile, room, code=ROOT, extra=extra, wait_s=20)
        return {finding.what: finding for finding in examine(plan, lambda _: None)}


def levels(found: dict[str, Finding]) -> set[str]:
    return {finding.level for finding in found.values()}


def test_this_machine_passes_and_nothing_of_the_doctor_remains(tmp_path: Path) -> None:
    found = visit(tmp_path)
    assert levels(found) == {"ok"}, found
    assert {"job", "shared folder", "clock", "locks", "scratch", "ports", "GPU", "signal"} <= set(found)
    assert "SIGTERM came" in found["signal"].detail
    assert list(tmp_path.iterdir()) == []


def test_a_probe_that_raises_is_a_failure_and_the_others_go_on(tmp_path: Path) -> None:
    extra = [Probe("thing", bodies.fail), Probe("storage", partial(look_at_storage, tmp_path))]
    found = visit(tmp_path, extra)
    assert found["thing"] == Finding("failure", "thing", "RuntimeError: this body always fails")
    assert found["storage"].level == found["signal"].level == "ok"


def test_a_job_that_cannot_start_says_its_last_words(tmp_path: Path) -> None:
    found = visit(tmp_path, setup=("echo no such module here", "exit 3"))
    assert list(found) == ["job"]
    assert found["job"].level == "failure"
    assert "ended (failed)" in found["job"].detail
    assert found["job"].detail.endswith("its last words: no such module here")
    assert "'setup'" in found["job"].cure


def test_ports_that_are_too_few_and_a_scratch_folder_that_is_not_there_are_named(tmp_path: Path) -> None:
    scratch = Path("/no-such")
    ports = {"low": 20000, "high": 20004}
    profile = type(load_profile("local")).model_validate(
        load_profile("local").model_dump() | {"ports": ports, "scratch": scratch}
    )
    found = visit(tmp_path, ports=profile.ports, scratch=profile.scratch)
    assert found["ports"].detail.startswith("of the profile's 'ports' only")
    assert found["ports"].cure.startswith("widen the range")
    assert found["scratch"].detail.startswith(f"{scratch} on this node cannot be used (No such file")
    assert found["scratch"].cure == "choose another 'scratch' in the profile"


@pytest.mark.skipif(DRIVER.exists(), reason="this machine has a GPU")
def test_a_gpu_that_torch_does_not_see_is_a_warning_where_there_is_no_driver(tmp_path: Path) -> None:
    profile = load_profile("local")
    found = visit(tmp_path, worker=profile.worker.model_copy(update={"gpus": 1}))
    assert found["GPU"].level == "warning"
    assert "gave device 0, torch" in found["GPU"].detail


def test_the_command_prints_a_line_for_each_finding_and_fails_when_one_does(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestration", "cluster", "doctor", "--cluster=local"]
    command += [f"--storage={tmp_path}", "--tracking=http://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("failure")]
    assert len(lines) == 1
    assert "http://127.0.0.1:1 cannot be reached from a node: Connection refused" in lines[0]
    assert "cure: for a node that is the node itself" in done.stdout
    assert done.stdout.endswith("failures: 1\n")


def test_the_profiles_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "wav2pix" / "clusters" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    command = [sys.executable, "-m", "orchestration", "cluster", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    listed = json.loads(done.stdout)
    assert listed["mine"] == str(own)
    assert listed == {name: str(path) for name, path in profile_names().items()}


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, content = {"/health": (200, b"OK"), "/page/health": (200, b"<html>")}.get(
                self.path, (401 if "closed" in self.path else 404, b"")
            )
            self.send_response(code)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "level", "words"),
    [
        ("", "ok", "answers in"),
        ("/page", "warning", "not as MLflow does"),
        ("/closed", "warning", "asks for a login (401)"),
        ("/elsewhere", "warning", "answers /health with 404"),
    ],
)
def test_a_tracking_server_is_told_from_what_only_answers(
    server: HTTPServer, path: str, level: str, words: str
) -> None:
    found = look_at_tracking(f"http://me:secret@127.0.0.1:{server.server_port}{path}")
    assert found.level == level
    assert words in found.detail
    assert "secret" not in f"{found}"


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    assert look_at_tracking(f"sqlite:///{tmp_path}/mlflow.db").level == "ok"
    found = look_at_tracking(f"sqlite:///{tmp_path}/nowhere/mlflow.db")
    assert found.level == "failure"
    assert "No such file or directory" in found.detail
    assert look_at_tracking("postgresql://me:secret@127.0.0.1:1/runs").level == "failure"
    assert look_at_storage(tmp_path / "nowhere").level == "failure"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination",
            "account",
        ),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", "qos"),
        ("sbatch: error: invalid partition specified: gpuu", "partition"),
        ("allocation failure: Invalid feature specification", "constraint"),
        ("allocation failure: Requested time limit is invalid (missing or exceeds some limit)", "walltime"),
        ("squeue: error: Munge encode failed: Invalid credential", "munge"),
        ("slurm_load_jobs error: Protocol authentication error", "munge"),
        ("sbatch: error: Node count specification invalid", "worker job"),
    ],
)
def test_what_slurm_refuses_is_called_by_its_name(words: str, what: str) -> None:
    found = explain("worker job", SchedulerError(f"sbatch failed: {words}"))
    assert (found.level, found.what) == ("failure", what)
    assert found.cure


def test_a_slurm_that_does_not_answer_is_not_called_wrong() -> None:
    found = explain("squeue", NoAnswer("squeue has not answered within 30 s"))
    assert (found.what, found.detail) == ("squeue", "squeue has not answered within 30 s")
    assert "try again later" in found.cure


def test_clocks_are_told_from_slow_files() -> None:
    # This host is 100 s ahead; a file takes 1 s there and 3 s back.
    found = Round(sent=1100, seen=1001, answered=1001.5, back=1104.5)
    assert found.way_s == pytest.approx(4)
    assert abs(found.ahead_s - 100) <= found.way_s / 2
