"""The cluster that other tests rely on behaves as clusters do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.testbed import Testbed
from tests.cluster.view import REPOSITORY
from tests.cluster.waiting import TestbedError, run, wait_for

SLURMD_PORT = 6818


@pytest.fixture(autouse=True)
def restored(testbed: Testbed) -> Iterator[None]:
    yield
    testbed.restore()


def text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def output(testbed: Testbed, job_id: str) -> str:
    return text(testbed.root / f"slurm-{job_id}.out")


def reachable(address: str) -> bool:
    try:
        socket.create_connection((address, SLURMD_PORT), timeout=1).close()
    except OSError:
        return False
    return True


def test_each_host_has_its_own_name_address_processes_and_tmp(testbed: Testbed, tmp_path: Path) -> None:
    script = f"cd /tmp; touch $SLURM_NODEID; echo $(hostname) $(hostname -I) [0-9] > {tmp_path}/$SLURM_NODEID"
    testbed.submit(f"srun sh -c '{script}; exec sleep 6$SLURM_NODEID'", "--nodes=3", "--ntasks-per-node=1")
    wait_for(lambda: all(text(tmp_path / f"{number}") for number in range(3)), 30, "output of three hosts")
    for number, host in enumerate(testbed.hosts):
        assert text(tmp_path / f"{number}").split() == [host.name, host.address, f"{number}"]
        assert f"sleep 6{number}" in [process.command for process in testbed.processes(host.name)]
        assert f"sleep 6{(number + 1) % 3}" not in testbed.run_on(host.name, ["ps", "-eo", "args"])
        assert testbed.run_on(host.name, ["getent", "hosts", "node3"]).split()[0] == testbed.hosts[2].address


def test_two_jobs_on_one_host_get_different_gpus(testbed: Testbed) -> None:
    ids = [testbed.submit("echo $CUDA_VISIBLE_DEVICES; sleep 30", "--gres=gpu:1", "-w", "node2") for _ in "ab"]
    third = testbed.submit("true", "--gres=gpu:1", "-w", "node2")
    wait_for(lambda: all(output(testbed, job_id) for job_id in ids), 30, "output of two jobs")
    assert sorted(output(testbed, job_id).strip() for job_id in ids) == ["0", "1"]
    assert testbed.job(third).state == "PENDING"


@pytest.mark.slow
def test_an_urgent_job_requeues_one_that_can_be_preempted(testbed: Testbed) -> None:
    record = testbed.root / "restarts"
    job_id = testbed.submit(
        f"echo run ${{SLURM_RESTART_COUNT:-0}} >> {record}; sleep 60", "--gres=gpu:2", "-w", "node1"
    )
    wait_for(record.exists, 30, "first run")
    urgent = testbed.submit("true", "--partition=urgent", "--gres=gpu:1", "-w", "node1")
    testbed.wait_until(urgent, "COMPLETED")
    wait_for(lambda: record.read_text() == "run 0\nrun 1\n", 60, lambda: f"second run: {testbed.job(job_id)}")


@pytest.mark.slow
def test_a_job_is_warned_before_its_walltime_ends(testbed: Testbed) -> None:
    began = time.monotonic()
    script = "trap 'echo warned; exit 7' USR2; sleep 100 & wait"
    job_id = testbed.submit(script, "--time=1", "--signal=B:USR2@50")
    # SLURM looks at walltimes every 30 s.
    job = testbed.wait_until(job_id, "FAILED", timeout_s=55)
    assert "warned" in output(testbed, job_id), job
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_host_that_was_cut_off_comes_back_and_keeps_its_job(testbed: Testbed) -> None:
    done = testbed.root / "done"
    job_id = testbed.submit(f"sleep 4; touch {done}; sleep 3", "-w", "node3")
    testbed.wait_until(job_id, "RUNNING")
    address = testbed.host("node3").address
    assert reachable(address)
    testbed.cut("node3")
    assert not reachable(address)
    wait_for(done.exists, 20, "work of a job that is cut off")
    testbed.mend("node3")
    wait_for(lambda: reachable(address), 20, "way to node3")
    testbed.wait_until(job_id, "COMPLETED", timeout_s=60)


def test_a_host_that_fails_loses_its_jobs_and_boots_again(testbed: Testbed) -> None:
    job_id = testbed.submit("sleep 60", "-w", "node3", "--no-requeue")
    testbed.wait_until(job_id, "RUNNING")
    testbed.power_off("node3")
    testbed.declare_down("node3")
    assert testbed.wait_until(job_id, "NODE_FAIL").reason == "NodeDown"
    testbed.power_on("node3")
    testbed.wait_until(testbed.submit("true", "-w", "node3"), "COMPLETED")


def test_jobs_run_as_the_user_who_submitted_them(testbed: Testbed) -> None:
    users = [testbed.user("wav2pix-a"), testbed.user("wav2pix-b")]
    ids = [testbed.submit("id -u > uid; sleep 60", user=user) for user in users]
    for user, job_id in zip(users, ids, strict=True):
        assert int(wait_for(partial(text, user.home / "uid"), 30, f"output of {job_id}")) == user.uid > 0
        assert testbed.job(job_id).user == user.name
    with pytest.raises(TestbedError, match="permission denied"):
        users[1].run(["scancel", ids[0]])
    users[0].run(["scancel", ids[0]])
    testbed.wait_until(ids[0], "CANCELLED")
    assert testbed.job(ids[1]).state == "RUNNING"


@pytest.mark.slow
def test_an_unprivileged_job_has_this_python_and_can_requeue_itself(testbed: Testbed) -> None:
    user = testbed.user("wav2pix-a")
    script = f"""
    {sys.executable} -c 'import tests.cluster.waiting; print("imported")' >> runs
    [ -n "$SLURM_RESTART_COUNT" ] || {{ scontrol requeue $SLURM_JOB_ID; sleep 60; }}
    """
    job_id = testbed.submit(script, f"--export=ALL,PYTHONPATH={REPOSITORY}", user=user)
    runs = user.home / "runs"
    wait_for(
        lambda: runs.exists() and runs.read_text() == "imported\n" * 2, 60, lambda: f"{testbed.job(job_id)}"
    )
    testbed.wait_until(job_id, "COMPLETED")


def test_a_cancelled_job_leaves_no_process(testbed: Testbed) -> None:
    if testbed.settings.proctrack != "cgroup":
        pytest.skip("without the freezer of cgroups a daemonised process outlives its job")
    job_id = testbed.submit(
        "(setsid sleep 500 &); srun sh -c '(setsid nohup sleep 600 &); sleep 700'", "-w", "node1"
    )

    def sleeping() -> set[str]:
        return {process.command for process in testbed.processes("node1") if process.name == "sleep"}

    wait_for(
        lambda: sleeping() == {"sleep 500", "sleep 600", "sleep 700"}, 30, lambda: f"processes: {sleeping()}"
    )
    testbed.client("scancel", job_id)
    testbed.wait_until(job_id, "CANCELLED")
    assert testbed.processes("node1") == []
    assert testbed.sockets("node1") == []


def test_a_job_that_takes_too_much_memory_is_killed_for_it(testbed: Testbed) -> None:
    if "memory" not in testbed.settings.cgroups:
        pytest.skip("SLURM cannot limit memory here: the kernel gives it no memory cgroup of version 1")
    job_id = testbed.submit(f"exec {sys.executable} -c 'bytearray(300 << 20)'", "--mem=100")
    assert testbed.wait_until(job_id, "OUT_OF_MEMORY", "COMPLETED", "FAILED").reason == "OutOfMemory"


@pytest.mark.slow
def test_clients_get_no_answer_while_the_controller_is_away_and_jobs_go_on(testbed: Testbed) -> None:
    job_id = testbed.submit("sleep 60")
    testbed.wait_until(job_id, "RUNNING")
    testbed.stop_controller()
    with pytest.raises(TestbedError, match=r"Unable to contact slurm controller|not done after"):
        testbed.client("squeue", timeout_s=5)
    testbed.start_controller()
    assert testbed.job(job_id).state == "RUNNING"


@pytest.mark.slow
def test_a_cluster_ends_with_the_process_that_started_it_however_that_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.cluster", "--hosts=1"]
    said = tmp_path / "said"
    with said.open("w") as file:
        owner = subprocess.Popen(command, cwd=REPOSITORY, stdout=file, stderr=file)
    try:
        wait_for(lambda: "SLURM_CONF=" in text(said), 60, lambda: f"cluster: {text(said)}")
        conf = text(said).partition("SLURM_CONF=")[2].split()[0]
        env = os.environ | {"SLURM_CONF": conf}
        run(["sbatch", "--chdir=/", "--output=/dev/null", "--wrap", "setsid sleep 80 & sleep 90"], env=env)
        wait_for(lambda: any("sleep 80" in words for words in those_with(conf)), 30, "running job")
    finally:
        owner.kill()
        owner.wait(10)
    wait_for(lambda: not those_with(conf), 10, lambda: f"end of {those_with(conf)}")
    shutil.rmtree(Path(conf).parent)
    run([*command, "--minutes=0"], cwd=REPOSITORY, timeout_s=90)
    owners = [text(alias).split()[:1] for alias in Path("/sys/class/net").glob("slurmbed*/ifalias")]
    assert [f"{owner.pid}"] not in owners, "the next cluster takes over what it left"


def those_with(conf: str) -> list[str]:
    """Commands of all living processes that have this file as their SLURM_CONF, but this test's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"SLURM_CONF={conf}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
