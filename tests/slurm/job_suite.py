"""What every implementation of ``Jobs`` must do: its tests derive a class and have a fixture ``place``."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from slurm.folder import Cluster, ClusterFolder
from slurm.jobs import Job, Jobs, open_jobs
from slurm.profile import LocalProfile, SlurmProfile
from tests.slurm import bodies

ROOT = Path(__file__).parents[2]
SUBMIT = """
import sys
from functools import partial
from pathlib import Path
from slurm.folder import Cluster, ClusterFolder
from slurm.jobs import open_jobs
from tests.slurm import bodies
folder = ClusterFolder(Path(sys.argv[1]))
print(*open_jobs(Cluster.load(folder), folder).submit("worker", partial(bodies.stay, Path(sys.argv[2]))))
"""
LOOK = """
import sys
from pathlib import Path
from slurm.folder import Cluster, ClusterFolder
from slurm.jobs import open_jobs
folder = ClusterFolder(Path(sys.argv[1]))
jobs = open_jobs(Cluster.load(folder), folder)
print(*[job.id for job in jobs.list() if job.state == "running"])
jobs.cancel(sys.argv[2:])
"""


@dataclass(frozen=True)
class Place:
    """Where a test has its sweeps, and what its jobs are like."""

    root: Path
    profile: LocalProfile | SlurmProfile

    def folder(self, name: str = "sweep") -> ClusterFolder:
        return ClusterFolder(self.root / name / "cluster")

    def cluster(self, name: str = "sweep", code: Path = ROOT) -> Cluster:
        cluster = Cluster.new(name, self.profile, code=code, cwd=self.root)
        cluster.save(self.folder(name))
        return cluster

    def jobs(self, name: str = "sweep", code: Path = ROOT) -> Jobs:
        return open_jobs(self.cluster(name, code), self.folder(name))


def wait_for(jobs: Jobs, id: str, *states: str, wait_s: float = 60) -> Job:
    """The job as soon as it is in one of these states."""
    deadline = time.monotonic() + wait_s
    while True:
        job = next((job for job in jobs.list() if job.id == id), None)
        if job is not None and job.state in states:
            return job
        assert time.monotonic() < deadline, f"{job} is not {' or '.join(states)}"
        time.sleep(0.2)


def wait_until(condition: Callable[[], object], wait_s: float = 60) -> None:
    deadline = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def num_processes(word: Path) -> int:
    """Living processes, on any host of this machine, whose command line has this path."""
    lines = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return sum(any(str(word) in part for part in line) for line in lines)


class JobSuite:
    """Collected as the tests of a class that derives from it."""

    def test_a_job_runs_once_and_has_completed(self, place: Place) -> None:
        before, jobs, out = time.time(), place.jobs(), place.root / "out"
        (id,) = jobs.submit("controller", partial(bodies.write, out))
        job = wait_for(jobs, id, "ended")
        assert (job.kind, job.ending) == ("controller", "completed")
        assert job.host
        assert job.submitted is not None and job.started is not None and job.ended is not None
        # SLURM counts whole seconds.
        assert int(before) <= job.submitted <= job.started <= job.ended <= time.time()
        assert int(job.started) <= float(out.read_text().split()[2]) <= job.ended + 1

    def test_a_job_whose_body_raises_has_failed(self, place: Place) -> None:
        jobs = place.jobs()
        (id,) = jobs.submit("worker", bodies.fail)
        assert wait_for(jobs, id, "ended").ending == "failed"
        assert "this body always fails" in place.folder().log(id).read_text()

    def test_a_cancelled_job_ends_with_every_process_that_it_started(self, place: Place) -> None:
        jobs, out = place.jobs(), place.root / "pids"
        (id,) = jobs.submit("worker", partial(bodies.stay, out))
        wait_until(out.exists)
        assert wait_for(jobs, id, "running").started is not None
        assert num_processes(out) == 1
        jobs.cancel([id])
        assert wait_for(jobs, id, "ended").ending == "cancelled"
        wait_until(lambda: num_processes(place.root) == 0, wait_s=10)

    def test_cancelling_what_is_gone_is_no_error(self, place: Place) -> None:
        jobs, out = place.jobs(), place.root / "out"
        (id,) = jobs.submit("worker", partial(bodies.write, out))
        wait_for(jobs, id, "ended")
        jobs.cancel([id])
        jobs.cancel([])
        jobs.cancel(["987654"])
        assert wait_for(jobs, id, "ended").ending == "completed"

    def test_several_jobs_are_submitted_at_once_and_each_runs(self, place: Place) -> None:
        jobs = place.jobs()
        ids = jobs.submit("worker", partial(bodies.tell_environment, place.root / "out"), count=3)
        assert len(set(ids)) == 3
        assert {wait_for(jobs, id, "ended").ending for id in ids} == {"completed"}

    def test_a_requeued_controller_runs_again_under_its_id(self, place: Place) -> None:
        jobs, out = place.jobs(), place.root / "count"
        (id,) = jobs.submit("controller", partial(bodies.count, out))
        wait_until(out.exists)
        jobs.requeue(id)
        wait_until(lambda: out.read_text().count("ran") == 2, wait_s=120)
        assert wait_for(jobs, id, "running").ending is None
        jobs.cancel([id])
        assert wait_for(jobs, id, "ended").ending == "cancelled"

    def test_a_job_outlives_its_submitter_and_another_process_finds_and_cancels_it(self, place: Place) -> None:
        jobs, out = place.jobs(), place.root / "pids"
        arguments = [sys.executable, "-c", SUBMIT, str(place.folder().root), str(out)]
        id = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
        wait_until(out.exists)
        wait_for(jobs, id, "running")
        arguments = [sys.executable, "-c", LOOK, str(place.folder().root), id]
        seen = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
        assert seen == [id]
        assert wait_for(jobs, id, "ended").ending == "cancelled"

    def test_the_jobs_of_another_sweep_are_not_listed(self, place: Place) -> None:
        one, other = place.jobs("one"), place.jobs("other")
        (id,) = one.submit("worker", partial(bodies.write, place.root / "out"))
        wait_for(one, id, "ended")
        assert other.list() == []

    def test_a_job_runs_the_code_that_was_frozen_for_it(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The current folder of the job has a module of the same name, which has changed since.
        for folder, word in (("frozen", "old"), (".", "new")):
            module = place.root / folder / "thing_of_the_test.py"
            module.parent.mkdir(exist_ok=True)
            module.write_text(f"def write(path):\n    path.write_text('{word}')\n")
        monkeypatch.syspath_prepend(place.root / "frozen")
        thing = importlib.import_module("thing_of_the_test")
        jobs = place.jobs(code=place.root / "frozen")
        (id,) = jobs.submit("worker", partial(thing.write, place.root / "out"))
        del sys.modules[thing.__name__]
        assert wait_for(jobs, id, "ended").ending == "completed"
        assert (place.root / "out").read_text() == "old"

    def test_setup_and_environment_of_the_profile_come_before_the_body(self, place: Place) -> None:
        profile = place.profile.model_copy(
            update={"setup": ("export FROM_SETUP=1",), "environment": {"GREETING": "it's me"}}
        )
        place = Place(place.root, profile)
        jobs, out = place.jobs(), place.root / "out"
        (id,) = jobs.submit("worker", partial(bodies.tell_environment, out))
        wait_for(jobs, id, "ended")
        assert {"FROM_SETUP=1", "GREETING=it's me"} <= set(out.read_text().splitlines())

    def test_nobody_else_can_look_into_the_folder(self, place: Place) -> None:
        jobs = place.jobs()
        (id,) = jobs.submit("worker", partial(bodies.write, place.root / "out"))
        wait_for(jobs, id, "ended")
        root = place.folder().root
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}
        ours = [root / "cluster.json", *root.glob("jobs/*.pkl"), *root.glob("jobs/*.sh")]
        own = [path for path in ours if "result" not in path.name and not path.is_symlink()]
        assert {oct(path.stat().st_mode & 0o777) for path in own} == {"0o600"}
        assert root.stat().st_uid == os.getuid()
