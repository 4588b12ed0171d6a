"""How often the scheduler is asked, and what is made of its answers and of its silence."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from slurm.errors import NoAnswer, SchedulerError
from slurm.folder import ClusterFolder
from slurm.jobs import Job, PolledJobs
from tests.slurm.stand_ins import Queue

POLL_S = 0.4
DOWN = SchedulerError("squeue failed: slurmctld is away")


def poll(polled: PolledJobs) -> dict[str, tuple[str, str | None]]:
    """State and ending of each job, as the next poll finds them."""
    time.sleep(POLL_S * 1.05)
    return {job.id: (job.state, job.ending) for job in polled.latest()}


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def polled(queue: Queue, tmp_path: Path) -> PolledJobs:
    return PolledJobs(queue, ClusterFolder(tmp_path), POLL_S)


def work() -> None:
    """Not called."""


def test_threads_and_processes_together_ask_once_in_poll_s(queue: Queue, tmp_path: Path) -> None:
    queue.takes_s = 0.05
    folder = ClusterFolder(tmp_path)
    begin = time.monotonic()
    end = begin + 4

    def look(polled: PolledJobs) -> None:
        while time.monotonic() < end:
            polled.latest()
            time.sleep(0.01)

    shared = PolledJobs(queue, folder, POLL_S)
    # One object for each other process; they share nothing but the file.
    views = [shared, shared, PolledJobs(queue, folder, POLL_S), PolledJobs(queue, folder, POLL_S)]
    threads = [threading.Thread(target=look, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 6 <= len(queue.asked) <= 1 + (time.monotonic() - begin) / POLL_S


COUNT = """
import sys, time
from pathlib import Path
from slurm.folder import ClusterFolder
from slurm.jobs import PolledJobs
class Queue:
    max_jobs = None
    def list(self):
        with open(sys.argv[2], "a") as file:
            file.write(f"{time.time()}\\n")
        return []
polled = PolledJobs(Queue(), ClusterFolder(Path(sys.argv[1])), 0.5)
end = time.time() + 3
while time.time() < end:
    polled.latest()
    time.sleep(0.02)
"""


def test_processes_ask_once_in_poll_s(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", COUNT, str(tmp_path / "cluster"), str(tmp_path / "calls")]
    processes = [subprocess.Popen(arguments, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    times = [float(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert 4 <= len(times) <= 1 + (times[-1] - times[0] + 0.1) / 0.5


def test_the_answer_is_not_older_than_poll_s_or_than_was_asked_for(queue: Queue, polled: PolledJobs) -> None:
    polled.latest()
    queue.show("1", "running")
    assert polled.latest() == []
    assert [job.id for job in poll_and_list(polled)] == ["1"]
    queue.show("2", "running")
    time.sleep(POLL_S * 1.1)
    assert [job.id for job in polled.latest(max_age_s=60)] == ["1"]


def poll_and_list(polled: PolledJobs) -> list[Job]:
    time.sleep(POLL_S * 1.05)
    return polled.latest()


def test_a_failing_scheduler_changes_nothing_and_is_asked_less_and_less_often(
    queue: Queue, polled: PolledJobs
) -> None:
    queue.show("1", "running")
    polled.latest()
    queue.error = DOWN
    queue.asked.clear()
    time.sleep(POLL_S * 1.05)
    end = time.monotonic() + 11 * POLL_S
    while time.monotonic() < end:
        with pytest.raises(SchedulerError, match="slurmctld is away"):
            polled.latest()
        time.sleep(0.01)
    gaps = [later - sooner for sooner, later in pairwise(queue.asked)]
    assert [int(gap / POLL_S + 0.1) for gap in gaps[:2]] == [2, 4]
    assert [(job.id, job.state) for job in polled.remembered()] == [("1", "running")]
    queue.error = None
    time.sleep(8 * POLL_S)
    assert [(job.id, job.state) for job in polled.latest()] == [("1", "running")]


def test_the_wait_after_failures_has_a_limit(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm.polling.MAX_BACK_OFF_S", 0.3)
    polled = PolledJobs(queue, ClusterFolder(tmp_path), 0.1)
    queue.error = DOWN
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        with pytest.raises(SchedulerError):
            polled.latest()
        time.sleep(0.01)
    assert len(queue.asked) >= 6


def test_a_job_that_was_just_submitted_is_pending_before_any_poll_has_seen_it(
    queue: Queue, polled: PolledJobs
) -> None:
    polled.latest()
    assert polled.submit("worker", work, count=2) == ["1", "2"]
    asked = len(queue.asked)
    assert [(job.id, job.kind, job.state) for job in polled.latest()] == [
        ("1", "worker", "pending"),
        ("2", "worker", "pending"),
    ]
    assert len(queue.asked) == asked
    submitted = polled.latest()[0].submitted
    assert submitted is not None and abs(submitted - time.time()) < 5


def test_a_job_that_three_polls_have_not_shown_is_given_up(queue: Queue, polled: PolledJobs) -> None:
    polled.submit("worker", work)
    assert poll(polled) == {"1": ("pending", None)}
    assert poll(polled) == {"1": ("pending", None)}
    assert poll(polled) == {"1": ("ended", "unknown")}


def test_polls_that_fail_do_not_count_against_a_job(queue: Queue, polled: PolledJobs) -> None:
    polled.submit("worker", work)
    queue.error = DOWN
    for _ in range(3):
        with pytest.raises(SchedulerError):
            polled.latest()
        time.sleep(POLL_S * 4.1)
    queue.error = None
    time.sleep(POLL_S * 4.1)
    assert [(job.id, job.state) for job in polled.latest()] == [("1", "pending")]


def test_a_job_that_slurm_has_forgotten_stays_in_the_history(queue: Queue, polled: PolledJobs) -> None:
    queue.show("1", "running", started=5.0)
    queue.show("2", "ended", ending="preempted", ended=9.0)
    assert poll(polled) == {"1": ("running", None), "2": ("ended", "preempted")}
    queue.jobs.clear()
    before = time.time()
    assert poll(polled) == {"1": ("ended", "unknown"), "2": ("ended", "preempted")}
    first, second = polled.latest()
    assert first.started == 5.0
    assert first.ended is not None and before <= first.ended <= time.time()
    assert second.ended == 9.0


def test_a_job_that_comes_back_after_a_requeue_is_alive_again(queue: Queue, polled: PolledJobs) -> None:
    queue.show("1", "running", kind="controller")
    poll(polled)
    queue.jobs.clear()
    assert poll(polled) == {"1": ("ended", "unknown")}
    queue.show("1", "pending", kind="controller")
    assert poll(polled) == {"1": ("pending", None)}


def test_a_submission_without_answer_is_found_by_its_name_before_another_one_is_made(
    queue: Queue, polled: PolledJobs
) -> None:
    polled.latest()
    queue.refusal = NoAnswer("sbatch has not answered within 30 s")
    with pytest.raises(NoAnswer, match="30 s"):
        polled.submit("worker", work)
    queue.refusal = None
    queue.show("77", "pending")
    with pytest.raises(NoAnswer, match="the next poll shows whether it was taken"):
        polled.submit("worker", work)
    assert queue.submitted == 0
    assert poll(polled) == {"77": ("pending", None)}
    assert polled.submit("worker", work) == ["1"]


def test_while_nobody_answers_nothing_is_submitted_twice(queue: Queue, polled: PolledJobs) -> None:
    queue.refusal, queue.error = NoAnswer("sbatch has not answered within 30 s"), DOWN
    with pytest.raises(NoAnswer):
        polled.submit("worker", work)
    queue.refusal = None
    for _ in range(3):
        with pytest.raises(SchedulerError, match="slurmctld is away"):
            polled.submit("worker", work)
        time.sleep(POLL_S)
    assert queue.submitted == 0


def test_jobs_taken_before_an_answer_was_lost_are_known(queue: Queue, polled: PolledJobs) -> None:
    queue.refusal = NoAnswer("sbatch has not answered within 30 s", submitted=["5"])
    assert polled.submit("worker", work, count=3) == ["5"]
    assert [(job.id, job.state) for job in polled.remembered()] == [("5", "pending")]


def test_a_refusal_does_not_hinder_the_next_submission(queue: Queue, polled: PolledJobs) -> None:
    queue.refusal = SchedulerError("sbatch failed: invalid partition specified: gpuu")
    with pytest.raises(SchedulerError, match="gpuu"):
        polled.submit("worker", work)
    queue.refusal = None
    assert polled.submit("worker", work) == ["1"]


def test_no_more_jobs_are_queued_than_the_site_allows(queue: Queue, polled: PolledJobs) -> None:
    queue.max_jobs = 3
    queue.show("c", "running", kind="controller")
    poll(polled)
    assert polled.submit("worker", work, count=5) == ["1", "2"]
    assert polled.submit("worker", work, count=5) == []
    queue.show("1", "ended", ending="completed")
    queue.show("2", "running")
    poll(polled)
    assert polled.submit("worker", work, count=5) == ["3"]


def test_the_history_is_for_the_user_alone(polled: PolledJobs, tmp_path: Path) -> None:
    polled.submit("worker", work)
    assert (tmp_path / "jobs.json").stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_damaged_history_is_an_error_and_no_empty_list(polled: PolledJobs, tmp_path: Path) -> None:
    polled.latest()
    (tmp_path / "jobs.json").write_text("{")
    with pytest.raises(SchedulerError, match=r"jobs\.json: cannot be read"):
        polled.latest()


def test_a_clock_that_was_wrong_does_not_stop_the_polls(queue: Queue, tmp_path: Path) -> None:
    ahead = time.time() + 3600
    (tmp_path / "jobs.json").write_text(f'{{"asked": {ahead}, "answered": {ahead}}}')
    polled = PolledJobs(queue, ClusterFolder(tmp_path), POLL_S)
    queue.show("1", "running")
    assert [job.id for job in polled.latest()] == ["1"]
