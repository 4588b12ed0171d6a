"""The jobs of a sweep in a real SLURM: the suite of all implementations, and what only SLURM can do."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from slurm.errors import NoAnswer, SchedulerError
from slurm.folder import Cluster
from slurm.jobs import PolledJobs, open_jobs, open_polled_jobs
from slurm.profile import ControllerShape, SlurmProfile, WorkerCount, WorkerShape
from tests.cluster.testbed import Testbed
from tests.slurm import bodies

pytest.register_assert_rewrite("tests.slurm.job_suite")
from tests.slurm.job_suite import JobSuite, Place, num_processes, wait_for, wait_until  # noqa: E402

PROFILE = SlurmProfile(
    scheduler="slurm",
    worker=WorkerShape(cpus=2, gpus=1, memory_gb=1),
    workers=WorkerCount(max=6),
    controller=ControllerShape(partition="cpu", memory_gb=1),
    partition="gpu",
    walltime_min=10,
    poll_s=1,
)


@pytest.fixture
def place(testbed: Testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, value in testbed.env.items():
        monkeypatch.setenv(name, value)
    yield Place(tmp_path, PROFILE)
    testbed.restore()


class TestSlurmJobs(JobSuite):
    """The suite that local jobs pass too."""


def changed(place: Place, **changes: object) -> Place:
    return Place(place.root, place.profile.model_copy(update=changes))


def environment(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def states(polled: PolledJobs) -> dict[str, str]:
    """Nothing while SLURM does not answer."""
    try:
        return {job.id: job.state for job in polled.latest()}
    except SchedulerError:
        return {}


def test_a_job_gets_what_its_profile_says(place: Place) -> None:
    jobs, out = place.jobs(), place.root / "out"
    (id,) = jobs.submit("worker", partial(bodies.tell_environment, out))
    wait_for(jobs, id, "ended")
    found = environment(out)
    assert (found["SLURM_JOB_PARTITION"], found["SLURM_CPUS_PER_TASK"]) == ("gpu", "2")
    assert (found["SLURM_MEM_PER_NODE"], found["CUDA_VISIBLE_DEVICES"]) == ("1024", "0")
    assert found["SLURM_STEP_ID"] == "0"


def test_a_job_is_warned_before_its_walltime_and_then_has_timed_out(place: Place) -> None:
    jobs, out = changed(place, walltime_min=1, drain_s=40).jobs(), place.root / "out"
    (id,) = jobs.submit("worker", partial(bodies.note_signals, out))
    job = wait_for(jobs, id, "ended", wait_s=150)
    assert job.ending == "timeout"
    first, when = out.read_text().splitlines()[0].split()
    assert first == "SIGUSR2"
    assert job.ended is not None
    # SLURM sends it up to a minute early, which on a walltime of one minute is at once.
    assert job.ended - float(when) >= 35


def test_a_preempted_worker_does_not_come_back_and_a_controller_does(testbed: Testbed, place: Place) -> None:
    jobs, out = place.jobs(), place.root / "count"
    (worker,) = jobs.submit("worker", partial(bodies.count, place.root / "worker"))
    (controller,) = jobs.submit("controller", partial(bodies.count, out))
    wait_until(lambda: out.exists() and (place.root / "worker").exists())
    host = wait_for(jobs, worker, "running").host
    urgent = [
        testbed.submit("sleep 5", "--partition=urgent", "--exclusive", f"--nodelist={name}")
        for name in {host, wait_for(jobs, controller, "running").host}
    ]
    assert wait_for(jobs, worker, "ended").ending == "preempted"
    for id in urgent:
        testbed.wait_until(id, "COMPLETED", timeout_s=60)
    wait_until(lambda: out.read_text().count("ran") == 2, wait_s=120)
    assert wait_for(jobs, controller, "running").ending is None
    assert wait_for(jobs, worker, "ended").ending == "preempted"


def test_a_job_whose_host_is_gone_says_so(testbed: Testbed, place: Place) -> None:
    jobs, out = place.jobs(), place.root / "count"
    (id,) = jobs.submit("worker", partial(bodies.count, out))
    wait_until(out.exists)
    host = wait_for(jobs, id, "running").host
    testbed.power_off(host)
    testbed.declare_down(host)
    assert wait_for(jobs, id, "ended").ending == "node_failed"


def test_a_pending_job_says_why_and_can_be_cancelled(testbed: Testbed, place: Place) -> None:
    fillers = [testbed.submit("sleep 600", "--exclusive", "--partition=urgent") for _ in testbed.hosts]
    for filler in fillers:
        testbed.wait_until(filler, "RUNNING")
    jobs = place.jobs()
    (id,) = jobs.submit("worker", partial(bodies.count, place.root / "out"))
    wait_until(lambda: wait_for(jobs, id, "pending").reason in ("Resources", "Priority"))
    job = wait_for(jobs, id, "pending")
    assert (job.started, job.ended, job.host) == (None, None, "")
    jobs.cancel([id])
    job = wait_for(jobs, id, "ended")
    assert (job.ending, (place.root / "out").exists()) == ("cancelled", False)


def test_the_tasks_of_an_array_are_jobs_of_their_own(place: Place) -> None:
    jobs, out = changed(place, arrays=True).jobs(), place.root / "out"
    first, second = jobs.submit("worker", partial(bodies.write_own, out), count=2)
    assert re.fullmatch(r"\d+_0 \d+_1", f"{first} {second}")
    wait_until(lambda: out.exists() and {path.name for path in out.iterdir()} == {first, second})
    assert {wait_for(jobs, id, "running").kind for id in (first, second)} == {"worker"}
    jobs.cancel([first])
    assert wait_for(jobs, first, "ended").ending == "cancelled"
    assert wait_for(jobs, second, "running").ending is None


def test_a_job_submits_jobs_as_a_controller_does(place: Place) -> None:
    jobs, out = place.jobs(), place.root / "out"
    (id,) = jobs.submit("controller", partial(bodies.submit, place.folder().root, out))
    assert wait_for(jobs, id, "ended").ending == "completed"
    worker = next(job for job in jobs.list() if job.kind == "worker")
    assert wait_for(jobs, worker.id, "ended").ending == "completed"
    found = environment(out)
    assert (found["SLURM_JOB_ID"], found["SLURM_CPUS_PER_TASK"]) == (worker.id, "2")
    assert found["CUDA_VISIBLE_DEVICES"] == "0"


def test_a_job_whose_sbatch_gave_no_answer_is_found_and_finds_its_work(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = place.root / "bin" / "sbatch"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\n{shutil.which("sbatch")} "$@" > /dev/null\nsleep 600\n')
    slow.chmod(0o755)
    place = changed(place, command_timeout_s=2)
    polled, out = open_polled_jobs(place.cluster(), place.folder()), place.root / "out"
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{slow.parent}:/usr/bin:/bin")
        with pytest.raises(NoAnswer):
            polled.submit("worker", partial(bodies.write, out))
    wait_until(out.exists)
    (job,) = polled.latest()
    assert job.kind == "worker"
    jobs = open_jobs(Cluster.load(place.folder()), place.folder())
    assert wait_for(jobs, job.id, "ended").ending == "completed"


def test_while_slurm_is_away_nothing_is_concluded(testbed: Testbed, place: Place) -> None:
    place = changed(place, command_timeout_s=5)
    polled, out = open_polled_jobs(place.cluster(), place.folder()), place.root / "count"
    (id,) = polled.submit("worker", partial(bodies.count, out))
    wait_until(out.exists)
    wait_until(lambda: states(polled) == {id: "running"})
    testbed.stop_controller()
    time.sleep(1.1)
    with pytest.raises(SchedulerError):
        polled.latest()
    with pytest.raises(SchedulerError):
        polled.submit("worker", partial(bodies.count, out))
    assert [(job.id, job.state) for job in polled.remembered()] == [(id, "running")]
    testbed.start_controller()
    wait_until(lambda: states(polled) == {id: "running"})
    polled.cancel([id])
    wait_until(lambda: [job.ending for job in polled.latest()] == ["cancelled"])
    wait_until(lambda: num_processes(place.root) == 0)
    assert out.read_text().count("ran") == 1


def test_a_wrong_partition_is_refused_in_slurms_words(place: Place) -> None:
    jobs = changed(place, partition="gpuu").jobs()
    with pytest.raises(SchedulerError, match="invalid partition specified: gpuu") as raised:
        jobs.submit("worker", bodies.fail)
    assert not isinstance(raised.value, NoAnswer)


def test_gres_in_sbatch_takes_the_place_of_the_number_of_gpus(place: Place) -> None:
    jobs, out = changed(place, sbatch={"gres": "gpu:2"}).jobs(), place.root / "out"
    (id,) = jobs.submit("worker", partial(bodies.tell_environment, out))
    wait_for(jobs, id, "ended")
    assert environment(out)["CUDA_VISIBLE_DEVICES"] == "0,1"
