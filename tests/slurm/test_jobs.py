"""What is sent to SLURM's commands, and what is made of their answers.

The commands here are stand-ins that write down how they were called and print what the test says: nothing in
this file claims to know SLURM. ``tests/cluster`` asks a real one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from slurm.errors import NoAnswer, SchedulerError
from slurm.jobs import Job, SlurmJobs
from slurm.processes import is_alive
from tests.slurm import bodies
from tests.slurm.stand_ins import StandIns, make, row


def listed(commands: StandIns, jobs: SlurmJobs, *rows: str) -> list[Job]:
    commands.answer("squeue", "cat <<'END'\n" + "\n".join(rows) + "\nEND")
    return jobs.list()


def test_one_squeue_asks_for_all_jobs_of_the_sweep_and_no_others(tmp_path: Path, commands: StandIns) -> None:
    jobs, cluster, _ = make(tmp_path)
    name = cluster.job_name("worker")
    found = listed(commands, jobs, row(name, id="101"), row(f"{name}-controller", id="100"))
    assert [(job.id, job.kind) for job in found] == [("101", "worker"), ("100", "controller")]
    (call,) = commands.calls("squeue")
    assert f"--name={name},{name}-controller " in call
    assert f"--user={os.getuid()} " in call
    assert "--states=all" in call


@pytest.mark.parametrize(
    ("word", "state", "ending"),
    [
        ("PENDING", "pending", None),
        ("CONFIGURING", "pending", None),
        ("REQUEUED", "pending", None),
        ("REQUEUE_HOLD", "pending", None),
        ("SPECIAL_EXIT", "pending", None),
        ("RUNNING", "running", None),
        ("SUSPENDED", "running", None),
        ("COMPLETING", "ending", None),
        ("COMPLETED", "ended", "completed"),
        ("FAILED", "ended", "failed"),
        ("CANCELLED", "ended", "cancelled"),
        ("PREEMPTED", "ended", "preempted"),
        ("TIMEOUT", "ended", "timeout"),
        ("DEADLINE", "ended", "timeout"),
        ("OUT_OF_MEMORY", "ended", "out_of_memory"),
        ("NODE_FAIL", "ended", "node_failed"),
        ("BOOT_FAIL", "ended", "node_failed"),
    ],
)
def test_every_state_of_slurm_has_a_meaning(
    tmp_path: Path, commands: StandIns, word: str, state: str, ending: str | None
) -> None:
    jobs, cluster, _ = make(tmp_path)
    (job,) = listed(commands, jobs, row(cluster.job_name("worker"), state=word))
    assert (job.state, job.ending) == (state, ending)


def test_times_that_slurm_only_expects_are_not_reported(tmp_path: Path, commands: StandIns) -> None:
    jobs, cluster, _ = make(tmp_path)
    name = cluster.job_name("worker")
    pending, running, ended = listed(
        commands,
        jobs,
        row(name, state="PENDING", host="", reason="Resources"),
        row(name, state="RUNNING"),
        row(name, state="TIMEOUT"),
    )
    assert (pending.submitted, pending.started, pending.ended, pending.reason) == (
        1000,
        None,
        None,
        "Resources",
    )
    assert (running.started, running.ended, running.reason) == (1010, None, "")
    assert (ended.started, ended.ended) == (1010, 4610)


def test_tasks_of_an_array_and_reasons_with_a_separator_are_understood(
    tmp_path: Path, commands: StandIns
) -> None:
    jobs, cluster, _ = make(tmp_path)
    name = cluster.job_name("worker")
    first, second = listed(commands, jobs, row(name, id="7_0"), row(name, id="7_1", reason="odd | reason"))
    assert (first.id, second.id, second.reason) == ("7_0", "7_1", "odd | reason")


@pytest.mark.parametrize(
    "line",
    ["slurm_load_jobs: something", "101|another-job|RUNNING|1|1|1|n|None", "101|NAME|STRANGE|1|1|1|n|None"],
)
def test_an_answer_that_is_not_understood_is_an_error_and_no_empty_list(
    tmp_path: Path, commands: StandIns, line: str
) -> None:
    jobs, cluster, _ = make(tmp_path)
    name = cluster.job_name("worker")
    with pytest.raises(SchedulerError, match="cannot be understood"):
        listed(commands, jobs, row(name), line.replace("NAME", name))


def test_a_squeue_that_fails_is_an_error(tmp_path: Path, commands: StandIns) -> None:
    jobs, _, _ = make(tmp_path)
    commands.answer("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(SchedulerError, match="squeue failed: slurm_load_jobs error: Unable to contact"):
        jobs.list()


def test_a_squeue_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, commands: StandIns) -> None:
    jobs, _, _ = make(tmp_path)
    commands.answer("squeue", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    before = time.monotonic()
    with pytest.raises(NoAnswer, match="squeue has not answered within 1 s"):
        jobs.list()
    assert time.monotonic() - before < 5
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_one_scancel_ends_all_jobs_and_only_what_is_gone_is_forgiven(
    tmp_path: Path, commands: StandIns
) -> None:
    jobs, _, _ = make(tmp_path)
    gone = "scancel: error: Kill job error on job id 5: Invalid job id specified"
    commands.answer("scancel", f"echo '{gone}' >&2; exit 1")
    jobs.cancel(["5", "6_1"])
    assert commands.calls("scancel") == ["5 6_1"]
    commands.answer("scancel", f"echo '{gone}' >&2; echo 'scancel: error: Access denied' >&2; exit 1")
    with pytest.raises(SchedulerError, match="Access denied"):
        jobs.cancel(["5", "6"])


def test_a_machine_without_slurm_prints_scripts_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    jobs, _, _ = make(tmp_path)
    assert jobs.script("worker").startswith("#!/bin/bash")
    for call in (jobs.list, lambda: jobs.submit("worker", bodies.fail), lambda: jobs.requeue("1")):
        with pytest.raises(SchedulerError, match="this is not a SLURM machine; use --cluster local"):
            call()
