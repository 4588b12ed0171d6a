"""Sweeps on a cluster that is this machine: submitted, looked after, cancelled, gone on with."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from watching import wait_for

from orchestration import provenance, status_view, submission
from orchestration.clusters import SHIPPED, load_profile
from orchestration.driver import Plan, make_plan, read_sweep
from orchestration.errors import SweepError
from orchestration.folders import Storage, SweepFolder
from orchestration.identity import claim
from orchestration.load import load_spec
from orchestration.lock import hold
from orchestration.logs import find_log
from orchestration.submission import Profile
from slurm.folder import Cluster, ClusterFolder
from slurm.jobs import open_polled_jobs
from slurm.local_record import load_records, new_record
from slurm.processes import descendants, is_alive
from slurm.profile import WorkerCount
from slurm.scratch import PREFIX
from tests.orchestration.standin import StandInTrainer

# One process runs all of them: they share a sweep.
pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 150.0
AT_ONCE_S = 20.0
CANCEL_S = 40.0
SPEC: dict[str, Any] = {
    "preset": "small",
    "search": {"batch_size": {"type": "integer", "low": 20, "high": 60}},
    "sampler": "random",
    "objective": {"metric": "l1", "direction": "minimize"},
    "trials": 2,
    "epochs": 2,
    "max_concurrent": 2,
}
REAL: dict[str, Any] = {
    "settings": {
        "batch_size": 8,
        "encoder.channels": [8, 8, 8, 8, 8, 8],
        "generator.channels": [16, 16, 16, 16, 16],
        "discriminator.channels": [8, 8, 8, 8],
    },
    "search": {"optimizer.lr_generator": {"type": "log_uniform", "low": 1e-4, "high": 5e-3}},
}


@dataclass
class Laptop:
    """Where sweeps are kept in these tests, and where their jobs have their temporary folders."""

    root: Path
    data: Path
    scratch: Path

    @property
    def storage(self) -> Storage:
        return Storage(self.root / "runs")

    def write(self, name: str, **fields: Any) -> Path:
        path = self.root / f"{name}.yaml"
        own = {"name": name, "data": str(self.data), "storage": str(self.storage.root)}
        path.write_text(json.dumps(SPEC | own | fields))
        return path

    def plan(self, name: str, **fields: Any) -> Plan:
        return make_plan(load_spec(self.write(name, **fields)))

    def profile(self, **changes: Any) -> Profile:
        """The one that comes with the package; jobs find the trainer of the tests."""
        own = {"scratch": self.scratch, "environment": {"PYTHONPATH": str(REPOSITORY)}}
        return load_profile("local").model_copy(update=own | changes)

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.scratch.glob(f"{PREFIX}*"))

    def end(self) -> None:
        """End whatever a test has left behind."""
        try:
            for folder in self.storage.sweeps():
                if ClusterFolder(folder.cluster).record.is_file():
                    submission.cancel(folder)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def laptop(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    # Short enough for the names of Ray's sockets, and nobody else's.
    scratch = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
    laptop = Laptop(tmp_path_factory.mktemp("laptop"), tiny_data, scratch)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(laptop.root)
        try:
            yield laptop
        finally:
            laptop.end()


def keepers(folder: SweepFolder) -> list[int]:
    """Process ids of what keeps the sweep's jobs."""
    return [record.keeper for record in load_records(ClusterFolder(folder.cluster).jobs) if record.keeper]


def processes(folder: SweepFolder) -> set[psutil.Process]:
    """All processes of the sweep's jobs."""
    found = set()
    for pid in keepers(folder):
        if is_alive(pid):
            found |= {psutil.Process(pid), *descendants(pid)}
    return found


def living(seen: set[psutil.Process]) -> list[str]:
    return [str(process) for process in seen if process.is_running() and is_alive(process.pid)]


def epochs_in(folder: SweepFolder, trial: int) -> list[int]:
    """The epochs that a trial finished, in the order of its log."""
    path = folder.trial_log(trial)
    return [int(number) for number in re.findall(r"epoch (\d+) of", path.read_text())] if path.exists() else []


def copy_tree(target: Path) -> Path:
    """The packages, as a working tree that a test may change."""
    for package in provenance.PACKAGES:
        shutil.copytree(REPOSITORY / package, target / package)
    return target


@dataclass
class Journey:
    """What was seen of a sweep with real training, whose code was broken right after it was submitted."""

    laptop: Laptop
    file: Path
    tree: Path
    output: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    statuses: list[dict[str, Any]] = field(default_factory=list)
    processes: set[psutil.Process] = field(default_factory=set)
    scratch: set[str] = field(default_factory=set)

    @property
    def folder(self) -> SweepFolder:
        return self.laptop.storage.sweep("real")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        own = {"PYTHONPATH": str(self.tree), "XDG_CONFIG_HOME": str(self.laptop.root / "config")}
        return subprocess.run(
            [sys.executable, "-m", "orchestration", "sweep", *arguments],
            env=os.environ | own,
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def wav2pix(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refuse(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    def look(self) -> str:
        """Note how the sweep stands; its state."""
        self.processes |= processes(self.folder)
        self.scratch |= set(self.laptop.folders())
        status = json.loads(self.wav2pix("status", str(self.file), "--json"))
        self.statuses.append(status)
        return str(status["state"])


@pytest.fixture(scope="module")
def journey(laptop: Laptop) -> Journey:
    own = laptop.root / "config" / "wav2pix" / "clusters" / "local.yaml"
    own.parent.mkdir(parents=True)
    own.write_text((SHIPPED / "local.yaml").read_text() + f"scratch: {laptop.scratch}\n")
    journey = Journey(laptop, laptop.write("real", **REAL), copy_tree(laptop.root / "tree"))

    started = time.monotonic()
    journey.output["submit"] = journey.wav2pix("submit", str(journey.file), "--cluster", "local")
    journey.seconds = time.monotonic() - started
    for module in ("wav2pix/train.py", "orchestration/trial.py", "slurm/worker.py"):
        (journey.tree / module).write_text("raise RuntimeError('this code is newer than the sweep')\n")
    journey.look()
    journey.refused["run"] = journey.refuse("run", str(journey.file))
    journey.output["submit again"] = journey.wav2pix("submit", str(journey.file), "--cluster", "local")
    wait_for(lambda: journey.look() == "complete", "the end of the sweep", DEADLINE_S)
    wait_for(lambda: not living(journey.processes), "the end of its jobs", CANCEL_S)
    journey.look()

    where = ("real", "--storage", str(laptop.storage.root))
    journey.output["logs"] = journey.wav2pix("logs", *where)
    journey.output["trial"] = journey.wav2pix("logs", *where, "--trial", "0")
    journey.output["job"] = journey.wav2pix("logs", *where, "--job", "2")
    journey.refused["trial"] = journey.refuse("logs", *where, "--trial", "7")
    journey.refused["job"] = journey.refuse("logs", *where, "--job", "77")
    journey.output["complete"] = journey.wav2pix("submit", str(journey.file), "--cluster", "local")
    return journey


def test_submit_returns_at_once_and_says_how_to_follow(journey: Journey) -> None:
    assert journey.seconds < AT_ONCE_S
    assert "real submitted as job 1" in journey.output["submit"]
    assert f"wav2pix sweep status {journey.file} --watch" in journey.output["submit"].replace("\n", "")


def test_status_follows_jobs_and_trials_to_the_end(journey: Journey) -> None:
    first, last = journey.statuses[0], journey.statuses[-1]
    # The controller has only just started; nobody calls that stopped.
    assert first["state"] in ("queued", "running")
    assert [job["kind"] for job in first["jobs"]] == ["controller"]
    assert {status["state"] for status in journey.statuses} <= {"queued", "running", "complete"}
    assert max(status["running"] + status["waiting"] for status in journey.statuses) == 2
    assert (last["finished"], last["complete"], last["unfinished"]) == (2, 2, 0)
    assert {job["kind"] for job in last["jobs"]} == {"controller", "worker"}
    assert {job["state"] for job in last["jobs"]} == {"ended"}
    assert last["problem"] == ""


def test_jobs_run_the_code_as_it_was_when_they_were_submitted(journey: Journey) -> None:
    assert journey.statuses[-1]["state"] == "complete"
    assert [record.progress.epochs for record in read_sweep(journey.folder).records] == [2, 2]


def test_logs_are_those_of_the_controller_of_a_trial_or_of_a_job(journey: Journey) -> None:
    assert "trial   0  complete" in journey.output["logs"]
    assert "epoch 2 of 2: l1" in journey.output["trial"]
    assert re.search(r"job \d+", journey.output["trial"])
    assert "job_id=2" in journey.output["job"]
    assert journey.refused["trial"] == "'real' has no trial 7: its trials are 0 to 1\n"
    assert journey.refused["job"].startswith("'real' has no job 77; there are 1, 2")


def test_nothing_of_a_complete_sweep_remains(journey: Journey) -> None:
    assert len(journey.processes) > 5
    assert journey.scratch
    assert living(journey.processes) == []
    assert journey.laptop.folders() == []


def test_a_sweep_is_led_by_one_process_at_a_time(journey: Journey) -> None:
    assert "real is there already: job 1" in journey.output["submit again"]
    assert "`wav2pix sweep cancel` ends it" in journey.refused["run"]


def test_a_complete_sweep_is_not_submitted_again(journey: Journey) -> None:
    assert "note: sweep 'real' is complete" in journey.output["complete"]
    assert "submitted" not in journey.output["complete"]


def test_a_cancelled_sweep_goes_on_where_it_stopped_and_says_that_its_code_has_changed(
    laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = laptop.plan("cancelled", epochs=12)
    folder, trainer = plan.folder, StandInTrainer(seconds=0.5)
    assert submission.submit(plan, laptop.profile(), "frozen", trainer).notes == ()
    wait_for(
        lambda: min(len(epochs_in(folder, trial)) for trial in (0, 1)) >= 2, "two epochs of both", DEADLINE_S
    )
    seen, before = processes(folder), time.monotonic()
    jobs = submission.cancel(folder)
    assert time.monotonic() - before < CANCEL_S
    assert jobs[0] == "1"
    assert (living(seen), laptop.folders()) == ([], [])
    status = status_view.dump(read_sweep(folder))
    assert (status["state"], status["unfinished"], status["running"]) == ("stopped", 2, 0)
    done = [epochs_in(folder, trial) for trial in (0, 1)]
    assert all(epochs[-1] < 12 for epochs in done)

    tree = copy_tree(tmp_path)
    (tree / "wav2pix" / "train.py").write_text("# newer\n")
    monkeypatch.setattr(provenance, "_folder", lambda package: tree / package)
    again = submission.submit(make_plan(plan.spec), laptop.profile(), "frozen", StandInTrainer())
    assert len(again.notes) == 1
    assert again.notes[0].startswith("the code has changed since the sweep was last submitted")
    wait_for(lambda: not read_sweep(folder).num_left, "the end of the sweep", DEADLINE_S)
    for trial in (0, 1):
        assert epochs_in(folder, trial) == list(range(1, 13))
    submission.cancel(folder)


def test_two_trials_share_a_worker_of_one_cpu(laptop: Laptop) -> None:
    plan = laptop.plan("shared", epochs=500, resources={"cpus": 0.5})
    submission.submit(plan, laptop.profile(workers=WorkerCount(max=1)), "live", StandInTrainer(seconds=0.2))

    def both_advance() -> bool:
        records = read_sweep(plan.folder).records
        return len(records) == 2 and all(record.progress.epochs >= 2 for record in records)

    wait_for(both_advance, "epochs of both trials", DEADLINE_S)
    status = status_view.dump(read_sweep(plan.folder))
    assert (status["running"], status["waiting"]) == (2, 0)
    assert [job["kind"] for job in status["jobs"]] == ["controller", "worker"]
    said = "".join(plan.folder.trial_log(trial).read_text() for trial in (0, 1))
    assert re.findall(r", job (\d+)", said) == ["2", "2"]
    submission.cancel(plan.folder)


def made(laptop: Laptop, name: str) -> Plan:
    """A sweep that was begun, and of which nothing runs."""
    plan = laptop.plan(name)
    plan.folder.make()
    claim(plan.folder, plan.spec, plan.data_hash, None)
    return plan


def says(action: Callable[[], object]) -> str:
    with pytest.raises(SweepError) as caught:
        action()
    return str(caught.value)


def test_a_sweep_that_never_was_on_a_cluster_has_no_jobs(laptop: Laptop) -> None:
    folder = made(laptop, "never").folder
    expected = "'never' was not submitted to a cluster; Ctrl-C ends a `sweep run`"
    assert says(lambda: submission.cancel(folder)) == expected
    assert "was not submitted to a cluster" in says(lambda: find_log(read_sweep(folder), None, None))
    assert says(lambda: find_log(read_sweep(folder), 0, None)) == "trial 0 of 'never' has not begun yet"
    assert "do not go together" in says(lambda: find_log(read_sweep(folder), 0, "1"))
    assert "jobs" not in status_view.dump(read_sweep(folder))


def test_a_sweep_whose_controller_waits_for_its_turn_is_queued(laptop: Laptop) -> None:
    plan = made(laptop, "queued")
    folder = ClusterFolder(plan.folder.cluster)
    cluster = Cluster.new("queued", laptop.profile(), code=None, cwd=laptop.root)
    cluster.save(folder)
    new_record(folder.jobs, "controller", 0)
    open_polled_jobs(cluster, folder).latest()
    assert status_view.dump(read_sweep(plan.folder))["state"] == "queued"
    assert "job 1 of it is pending" in says(lambda: submission.check_not_led(plan))
    # It would seem to wait for a minute.
    shutil.rmtree(folder.root)


def test_a_sweep_that_another_terminal_runs_is_not_submitted(laptop: Laptop) -> None:
    plan = laptop.plan("run")
    with hold(plan.folder.lock, "this test"):
        submit = says(lambda: submission.submit(plan, laptop.profile(), "live"))
    assert f"sweep 'run' is in use by process {os.getpid()} on " in submit
    # Nothing that would make it look like a sweep of a cluster.
    assert not plan.folder.cluster.exists()


def test_a_sweep_on_slurm_is_told_that_one_file_is_little_for_many_hosts(laptop: Laptop) -> None:
    plan, profile = laptop.plan("tracked"), load_profile("single-gpu")
    assert "wants a server: 'tracking: {uri: ...}'" in submission.submission_rows(plan, profile)["note"]
    assert "note" not in submission.submission_rows(plan, load_profile("local"))
    served = laptop.plan("served", tracking={"uri": "https://mlflow.example.org"})
    assert "note" not in submission.submission_rows(served, profile)
