"""Jobs as processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from orchestration.clusters import load_profile
from slurm import local_record
from slurm.errors import SchedulerError
from slurm.local_record import load_record
from slurm.profile import WorkerShape
from tests.slurm import bodies

pytest.register_assert_rewrite("tests.slurm.job_suite")
from tests.slurm.job_suite import ROOT, SUBMIT, JobSuite, Place, num_processes, wait_for, wait_until  # noqa: E402


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, load_profile("local"))


class TestLocalJobs(JobSuite):
    """The suite that SLURM passes too."""


def test_ctrl_c_and_the_end_of_the_terminal_do_not_reach_a_job(place: Place) -> None:
    jobs, out = place.jobs(), place.root / "out"
    code = SUBMIT + "\nimport time; time.sleep(600)"
    arguments = [sys.executable, "-c", code, str(place.folder().root), str(out)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, start_new_session=True, cwd=ROOT) as shell:
        assert shell.stdout is not None
        id = shell.stdout.readline().decode().strip()
        wait_until(out.exists)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
            os.killpg(shell.pid, number)
    time.sleep(0.5)
    assert wait_for(jobs, id, "running")
    jobs.cancel([id])
    wait_for(jobs, id, "ended")


def test_a_job_that_ignores_sigterm_is_killed_after_a_while(
    place: Place,
) -> None:
    place = Place(place.root, place.profile.model_copy(update={"kill_wait_s": 2}))
    jobs, out = place.jobs(), place.root / "out"
    (id,) = jobs.submit("worker", partial(bodies.ignore_sigterm, out))
    wait_until(out.exists)
    before = time.monotonic()
    jobs.cancel([id])
    assert time.monotonic() - before < 1
    assert wait_for(jobs, id, "ended").ending == "cancelled"
    assert time.monotonic() - before > 2
    assert num_processes(place.root) == 0


def test_a_job_whose_keeper_was_killed_has_ended_and_its_body_is_told(place: Place) -> None:
    jobs, out = place.jobs(), place.root / "out"
    (id,) = jobs.submit("worker", partial(bodies.count, out))
    wait_until(out.exists)
    record = load_record(place.folder().jobs, id)
    assert record is not None and record.keeper is not None
    psutil.Process(record.keeper).kill()
    job = wait_for(jobs, id, "ended")
    assert job.ending == "unknown"
    wait_until(lambda: num_processes(place.root) == 0)


def test_workers_get_gpus_of_their_own_and_a_controller_none(place: Place) -> None:
    profile = place.profile.model_copy(update={"worker": WorkerShape(cpus=1, gpus=2, memory_gb=1)})
    jobs = Place(place.root, profile).jobs()
    stay = partial(bodies.stay, place.root / "out")
    first, second = jobs.submit("worker", stay, count=2)
    (controller,) = jobs.submit("controller", partial(bodies.tell_environment, place.root / "environment"))
    wait_for(jobs, controller, "ended")
    assert "CUDA_VISIBLE_DEVICES=" in (place.root / "environment").read_text().splitlines()
    jobs.cancel([first])
    wait_for(jobs, first, "ended")
    (third,) = jobs.submit("worker", stay)
    records = [load_record(place.folder().jobs, id) for id in (first, second, third)]
    assert [record and record.devices for record in records] == [(0, 1), (2, 3), (0, 1)]
    jobs.cancel([second, third])


def test_a_process_that_has_the_number_of_a_dead_keeper_is_not_taken_for_it(place: Place) -> None:
    jobs = place.jobs()
    with subprocess.Popen(["sleep", "600"]) as other:
        record = local_record.new_record(place.folder().jobs, "worker", 0)
        local_record.LocalRecord(
            id=record.id, kind="worker", host=record.host, submitted=1, keeper=other.pid, born="another time"
        ).save(place.folder().jobs)
        assert [job.state for job in jobs.list()] == ["ended"]
        jobs.cancel([record.id])
        assert other.poll() is None
        other.kill()


def test_local_jobs_of_another_host_are_not_judged_from_here(place: Place) -> None:
    jobs = place.jobs()
    local_record.LocalRecord(id="1", kind="worker", host="elsewhere", submitted=1, keeper=1, born="x").save(
        place.folder().jobs
    )
    with pytest.raises(SchedulerError, match="local job 1 runs on elsewhere: ask there"):
        jobs.list()
