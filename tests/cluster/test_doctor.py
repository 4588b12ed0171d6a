"""The doctor finds a healthy cluster healthy, and names what is wrong with another one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slurm.report import Finding
from tests.cluster.running import PROFILE, REPOSITORY
from tests.cluster.testbed import Testbed


@pytest.fixture(autouse=True)
def cluster(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in testbed.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    testbed.restore()


def doctor(
    folder: Path, *options: str, storage: Path | None = None, **changes: Any
) -> tuple[int, dict[str, Finding]]:
    """Exit code and findings of ``wav2pix cluster doctor``, with a profile that is changed so."""
    profile = folder / "here.yaml"
    profile.write_text(json.dumps(PROFILE | changes))
    command = [sys.executable, "-m", "orchestration", "cluster", "doctor", "--json", f"--cluster={profile}"]
    command += [f"--storage={storage or folder / 'runs'}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=REPOSITORY, check=False)
    assert done.stderr == ""
    findings = [Finding(**finding) for finding in json.loads(done.stdout)["findings"]]
    return done.returncode, {finding.what: finding for finding in findings}


def failures(found: dict[str, Finding]) -> list[str]:
    return [finding.what for finding in found.values() if finding.level == "failure"]


@pytest.mark.slow
def test_a_healthy_cluster_passes_and_nothing_of_the_doctor_remains(testbed: Testbed, tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert (code, failures(found)) == (0, []), found
    on_the_node = (
        "job, shared folder, clock, locks, software, scratch, ports, open files, GPU, tracking, storage, signal"
    )
    expected = ["squeue", "KillWait", "worker job", "controller job", *on_the_node.split(", ")]
    assert list(found) == expected
    assert "runs on node" in found["job"].detail
    assert "SIGUSR2 came" in found["signal"].detail
    # The testbed's GPUs are stand-ins.
    assert found["GPU"].level == "warning"
    assert "SLURM gave device 0, torch" in found["GPU"].detail
    assert not (tmp_path / "runs").exists()
    assert not [job for job in testbed.jobs() if job.active]
    assert not [process for host in testbed.hosts for process in testbed.processes(host.name)]


def test_a_wrong_partition_is_named_and_no_job_is_submitted(testbed: Testbed, tmp_path: Path) -> None:
    before = len(testbed.jobs())
    code, found = doctor(tmp_path, partition="gpuu")
    assert (code, failures(found)) == (1, ["partition"])
    assert found["partition"].detail == "there is no partition 'gpuu', or not for you"
    assert found["partition"].cure == "set 'partition': did you mean 'gpu'?"
    assert found["job"].detail == "none was submitted"
    assert len(testbed.jobs()) == before


def test_a_worker_that_no_node_can_hold_is_named(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, worker={"cpus": 1, "gpus": 3, "memory_gb": 1})
    assert (code, failures(found)) == (1, ["worker"])
    assert "Requested node configuration is not available" in found["worker"].detail


def test_a_dead_munge_is_named_and_not_mistaken_for_a_dead_slurm(testbed: Testbed, tmp_path: Path) -> None:
    testbed.stop_munge()
    code, found = doctor(tmp_path)
    assert (code, failures(found)) == (1, ["munge"])
    assert "Did you start munged?" in found["munge"].detail
    assert "munge -n | unmunge" in found["munge"].cure


@pytest.mark.slow
def test_a_scratch_folder_with_too_long_a_path_and_a_server_that_no_node_reaches_are_named(
    testbed: Testbed, tmp_path: Path
) -> None:
    server = f"http://{testbed.controller_address}:1"
    code, found = doctor(tmp_path, f"--tracking={server}", scratch="/a/rather/long/path/to/it")
    assert (code, failures(found)) == (1, ["scratch", "tracking"])
    assert "too long for the names of Ray's sockets" in found["scratch"].detail
    assert found["tracking"].detail == (
        f"http://{testbed.controller_address}:1 cannot be reached from a node: Connection refused"
    )
    assert all(finding.cure for finding in found.values() if finding.level == "failure")


@pytest.mark.slow
def test_a_storage_that_nodes_do_not_share_is_named() -> None:
    # Each host of the testbed has a /tmp of its own.
    with tempfile.TemporaryDirectory() as folder:
        code, found = doctor(Path(folder))
    assert (code, failures(found)) == (1, ["job"])
    assert "Put --storage where all nodes share it" in found["job"].cure


@pytest.mark.slow
def test_a_job_that_has_to_wait_is_cancelled_and_says_why(testbed: Testbed, tmp_path: Path) -> None:
    fillers = [testbed.submit("sleep 600", "--exclusive", "--partition=urgent") for _ in testbed.hosts]
    for filler in fillers:
        testbed.wait_until(filler, "RUNNING")
    started = time.monotonic()
    code, found = doctor(tmp_path, "--wait=3")
    assert (code, failures(found)) == (0, [])
    assert found["job"].level == "warning"
    assert "still waits after 3 s (Resources)" in found["job"].detail or "(Priority)" in found["job"].detail
    assert time.monotonic() - started < 30
    assert [job.id for job in testbed.jobs() if job.active] == fillers
