"""Sweeps on a real SLURM cluster of three hosts with two GPUs each, through all that happens on one."""

from __future__ import annotations

import math
import os
import re
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from orchestration import submission
from orchestration.folders import trial_name
from slurm.scratch import PREFIX
from tests.cluster.running import REPOSITORY, Sweep, profile
from tests.cluster.testbed import Testbed
from tests.cluster.waiting import TestbedError, run, wait_for
from tests.orchestration.standin import StandInTrainer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

FILLER = "sleep 300"


@pytest.fixture(autouse=True)
def cluster(testbed: Testbed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Testbed]:
    """The testbed, as the place where this process submits jobs; in order again afterwards."""
    for name, value in testbed.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    yield testbed
    testbed.restore()


@pytest.fixture
def make(tmp_path: Path, tiny_data: Path) -> Any:
    """Makes a sweep on the testbed."""

    def made(
        name: str, *, epoch_s: float, profile_changes: dict[str, Any] | None = None, **fields: Any
    ) -> Sweep:
        return Sweep.make(
            tmp_path,
            tiny_data,
            name=name,
            trainer=StandInTrainer(seconds=epoch_s),
            profile=profile(**(profile_changes or {})),
            **fields,
        )

    return made


def alive(testbed: Testbed) -> list[str]:
    """Processes and sockets on any host."""
    found = []
    for host in testbed.hosts:
        found += [f"{host.name}: {process.command}" for process in testbed.processes(host.name)]
        found += [f"{host.name}: {socket}" for socket in testbed.sockets(host.name)]
    return found


def folders(testbed: Testbed) -> list[str]:
    """Temporary folders of ours on any host."""
    names = {host.name: testbed.run_on(host.name, ["ls", "/tmp"]).split() for host in testbed.hosts}  # noqa: S108
    return [f"{host}: {name}" for host in names for name in names[host] if name.startswith(PREFIX)]


def wait_for_empty_queue(testbed: Testbed, timeout_s: float = 40) -> None:
    wait_for(lambda: not [job for job in testbed.jobs() if job.active], timeout_s, "an empty queue")


def epochs_in(log: str) -> list[int]:
    """The epochs that a trial finished, in the order of its log."""
    return [int(number) for number in re.findall(r"epoch (\d+) of", log)]


def metrics_of_sweep(sweep: Sweep) -> dict[str, float]:
    client = MlflowClient(f"sqlite:///{sweep.plan.spec.storage.absolute()}/mlflow.db")
    metrics: dict[str, float] = client.get_run(runs_of(sweep)["sweep"][0]).data.metrics
    return metrics


def runs_of(sweep: Sweep) -> dict[str, tuple[str, str]]:
    """MLflow's runs: trial or sweep, to run id and status."""
    client = MlflowClient(f"sqlite:///{sweep.plan.spec.storage.absolute()}/mlflow.db")
    experiment = client.get_experiment_by_name(sweep.plan.spec.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    found = {run.data.tags["wav2pix.trial"]: (run.info.run_id, run.info.status) for run in runs}
    assert len(found) == len(runs), "a trial has more than one run"
    return found


def steps_of(sweep: Sweep, trial: int) -> list[int]:
    """The epochs that MLflow has of a trial, each as often as it has it."""
    client = MlflowClient(f"sqlite:///{sweep.plan.spec.storage.absolute()}/mlflow.db")
    return sorted(point.step for point in client.get_metric_history(runs_of(sweep)[trial_name(trial)][0], "l1"))


def test_trials_start_with_the_first_gpu_and_nothing_is_left_at_the_end(testbed: Testbed, make: Any) -> None:
    fillers = [testbed.submit(FILLER, "--gres=gpu:2", "-p", "gpu", "-w", host) for host in ("node2", "node3")]
    sweep = make("eight", epoch_s=1.0, trials=8, epochs=4, max_concurrent=6)
    sweep.submit()
    # The first trial works while other workers still queue.
    sweep.wait(
        lambda: any(sweep.epochs.values()) and sweep.workers("pending"), 120, "a trial with workers pending"
    )
    testbed.client("scancel", *fillers)
    sweep.wait_complete()
    assert Counter(sweep.states.values()) == {"complete": 8}
    wait_for_empty_queue(testbed)
    wait_for(lambda: not alive(testbed), 10, lambda: f"hosts at rest: {alive(testbed)}")
    assert not folders(testbed)
    devices = re.findall(r"CUDA_VISIBLE_DEVICES=(\S+)", "".join(sweep.log(trial) for trial in range(8)))
    assert len(devices) == 8
    assert set(devices) <= {"0", "1"}
    metrics = metrics_of_sweep(sweep)
    assert 8 * 4 / 3600 < metrics["gpu_hours"] < metrics["gpu_hours_allocated"]
    assert metrics["gpu_hours_idle"] == pytest.approx(metrics["gpu_hours_allocated"] - metrics["gpu_hours"])


def test_trials_survive_preemption_walltime_sigkill_and_a_cut_network(testbed: Testbed, make: Any) -> None:
    sweep = make("rough", epoch_s=1.0, trials=6, epochs=80, max_concurrent=6, max_failures=0)
    sweep.submit()
    sweep.wait(lambda: len(sweep.epochs) == 6 and all(sweep.epochs.values()), 150, "six running trials")
    head = sweep.head
    assert head is not None
    leader = testbed.job(head.job).node
    first, second = [host.name for host in testbed.hosts if host.name != leader]
    # On one host both workers are preempted.
    urgent = testbed.submit("sleep 5", "-p", "urgent", "--gres=gpu:2", "-w", first)
    on_leader = [job for job in sweep.workers("running") if job.host == leader]
    # Beside the controller one reaches its walltime, the other is killed.
    late, killed = (job.id for job in on_leader)
    lived = sweep.folder.life_of(late)
    assert lived is not None
    # Its walltime leaves it the time that it asked for, however slowly the sweep started.
    minutes = math.ceil((time.time() - lived.started + sweep.profile.drain_s) / 60)
    testbed.client("scontrol", "update", f"JobId={late}", f"TimeLimit={minutes}")
    testbed.kill(killed)
    # The third host's network is cut.
    testbed.cut(second)
    try:
        testbed.wait_until(urgent, "COMPLETED", timeout_s=60)
        time.sleep(60)
    finally:
        testbed.mend(second)
    sweep.wait_complete(240)
    wait_for_empty_queue(testbed)
    assert Counter(sweep.states.values()) == {"complete": 6}
    # All of it happened.
    endings = {job.id: job.ending for job in sweep.jobs()}
    assert Counter(endings.values())["preempted"] == 2, endings
    lives = {job: sweep.folder.life_of(job) for job in (late, killed)}
    assert all(lives.values())
    assert (lives[late].why, lives[killed].left) == ("its walltime", None)
    assert sum("leaves:" in sweep.log(trial) for trial in range(6)) >= 3
    for trial in range(6):
        epochs = epochs_in(sweep.log(trial))
        starts = sweep.log(trial).count("on host")
        assert sorted(set(epochs)) == list(range(1, 81))
        # An epoch whose checkpoint was being written when its node went may be told twice.
        assert len(epochs) - 80 <= starts - 1, sweep.log(trial)
        assert steps_of(sweep, trial) == list(range(1, 81))
    assert {status for _, status in runs_of(sweep).values()} == {"FINISHED"}


def test_a_controller_comes_back_after_preemption_and_walltime_and_goes_on(testbed: Testbed, make: Any) -> None:
    sweep = make(
        "again", epoch_s=1.5, trials=4, epochs=16, max_concurrent=3, profile_changes={"workers": {"max": 3}}
    )
    job = sweep.submit().job
    sweep.wait(lambda: len(sweep.epochs) >= 3 and all(sweep.epochs.values()), 150, "running trials")
    before, head = runs_of(sweep), sweep.head
    testbed.submit("sleep 4", "-p", "urgent", "--exclusive", "-w", testbed.job(job).node)
    sweep.wait(lambda: sweep.head not in (head, None), 90, "the controller that comes back")
    # As SLURM does ahead of the walltime, at which it puts itself back into the queue.
    head = sweep.head
    testbed.client("scancel", "--signal=USR2", job)
    sweep.wait(lambda: sweep.head not in (head, None), 90, "the controller that comes back once more")
    sweep.wait_complete(150)
    wait_for_empty_queue(testbed)
    after = runs_of(sweep)
    assert Counter(sweep.states.values()) == {"complete": 4}
    assert all(after[trial][0] == run_id for trial, (run_id, _) in before.items())
    assert {status for _, status in after.values()} == {"FINISHED"}
    assert all(sorted(set(epochs_in(sweep.log(trial)))) == list(range(1, 17)) for trial in range(4))


def test_a_killed_controller_is_followed_by_the_next_submission(testbed: Testbed, make: Any) -> None:
    sweep = make(
        "killed",
        epoch_s=1.0,
        trials=5,
        epochs=8,
        max_concurrent=2,
        profile_changes={"workers": {"max": 2}, "arrays": True},
    )
    job = sweep.submit().job
    sweep.wait(lambda: list(sweep.states.values()).count("complete") >= 2, 150, "two finished trials")
    done = [trial for trial, state in sweep.states.items() if state == "complete"]
    before = runs_of(sweep)
    testbed.kill(job)
    testbed.wait_until(job, "FAILED", "CANCELLED", timeout_s=30)
    assert sweep.submit().is_new
    sweep.wait_complete(200)
    wait_for_empty_queue(testbed)
    after = runs_of(sweep)
    assert Counter(sweep.states.values()) == {"complete": 5}
    assert all(sweep.log(trial).count("starts") == 1 for trial in done)
    assert all(epochs_in(sweep.log(trial)) == list(range(1, 9)) for trial in done)
    assert all(after[trial][0] == run_id for trial, (run_id, _) in before.items())
    assert {status for _, status in after.values()} == {"FINISHED"}
    wait_for(lambda: not alive(testbed), 10, lambda: f"hosts at rest: {alive(testbed)}")


def test_cancel_empties_the_queue_and_leaves_trials_that_go_on(testbed: Testbed, make: Any) -> None:
    sweep = make(
        "stopped",
        epoch_s=1.0,
        trials=2,
        epochs=20,
        max_concurrent=2,
        profile_changes={"workers": {"max": 2}, "ports": {"low": 20000, "high": 20100}},
    )
    sweep.submit()
    sweep.wait(lambda: len(sweep.epochs) == 2 and min(sweep.epochs.values()) >= 3, 150, "three epochs of each")
    started = time.monotonic()
    submission.cancel(sweep.plan.folder)
    wait_for_empty_queue(testbed, 30)
    assert time.monotonic() - started < 30
    before = dict(sweep.epochs)
    assert set(sweep.states.values()) == {"running"}
    sweep.submit()
    sweep.wait_complete()
    for trial, epochs in before.items():
        assert epochs_in(sweep.log(trial)).count(epochs) == 1, "an epoch with a checkpoint was trained again"


def test_workers_that_never_join_stop_the_sweep_and_say_why(testbed: Testbed, make: Any) -> None:
    image = {"workers": {"max": 1}, "container": {"image": "/no/such/image.sif"}}
    sweep = make("hopeless", epoch_s=1.0, trials=2, epochs=2, profile_changes=image)
    job = sweep.submit().job
    testbed.wait_until(job, "FAILED", timeout_s=180)
    wait_for_empty_queue(testbed)
    problem = sweep.folder.problem_now() or ""
    assert "3 worker jobs ended before they joined" in problem
    assert str(sweep.folder.jobs) in problem
    assert 3 <= len(sweep.workers("ended", "ending")) <= 5
    assert sweep.result.num_left == 2
    # Mended and submitted again, it does not hold the past against the new workers.
    replace(sweep, profile=profile(workers={"max": 1})).submit()
    sweep.wait_complete()
    assert sweep.folder.problem_now() is None


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ahead on PATH whose `squeue` notes each call of a sweep, hangs or fails while told to."""
    folder = tmp_path / "wrapped"
    folder.mkdir()
    script = folder / "squeue"
    # The tests' own calls ask for no names.
    script.write_text(
        f"""#!/bin/sh
case "$*" in *--name*)
  date +%s.%N >> {folder}/calls
  while [ -e {folder}/hang ]; do sleep 1; done
  [ -e {folder}/fail ] && exit 1
esac
PATH=${{PATH#*:}} exec squeue "$@"
"""
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_squeue_is_asked_once_a_poll_and_its_silence_costs_no_job(
    testbed: Testbed, make: Any, squeue: Path
) -> None:
    poll_s = 5
    changes = {"poll_s": poll_s, "command_timeout_s": 10}
    sweep = make("polite", epoch_s=2.0, trials=6, epochs=45, max_concurrent=6, profile_changes=changes)
    sweep.submit()
    sweep.wait(lambda: len(sweep.epochs) == 6 and all(sweep.epochs.values()), 180, "six running trials")
    workers = {job.id for job in sweep.workers("pending", "running", "ending", "ended")}
    (squeue / "hang").touch()
    time.sleep(40)
    (squeue / "hang").rename(squeue / "fail")
    time.sleep(20)
    (squeue / "fail").unlink()
    alive = {job.id for job in testbed.jobs() if job.state == "RUNNING"}
    assert workers <= alive, "a worker was taken for dead"
    sweep.wait_complete(200)
    assert Counter(sweep.states.values()) == {"complete": 6}
    assert {job.id for job in sweep.workers("running", "ending", "ended", "pending")} == workers
    calls = [float(line) for line in (squeue / "calls").read_text().split()]
    assert len(calls) > 5
    gaps = [later - earlier for earlier, later in pairwise(calls)]
    assert min(gaps) > poll_s * 0.9


def ask_head(sweep: Sweep, token: Path) -> list[str]:
    """A command that asks the head of a sweep something, with a token."""
    assert sweep.head is not None
    code = (
        f"from ray._raylet import GcsClient; client = GcsClient(address='{sweep.head.address}'); "
        "print('answer', client.internal_kv_keys(b'', None, timeout=5))"
    )
    settings = ["RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN_PATH={token}"]
    return ["timeout", "60", "env", *settings, sys.executable, "-c", code]


def test_two_users_on_the_same_hosts_keep_apart(testbed: Testbed, tiny_data: Path) -> None:
    data = testbed.root / "data"
    shutil.copytree(tiny_data, data)
    users = [testbed.user("one"), testbed.user("two")]
    sweeps = []
    for user in users:
        sweep = Sweep.make(
            user.home, data, name="same", trainer=StandInTrainer(), profile=profile(), trials=3, epochs=8
        )
        for path in (user.home / "runs", user.home / "same.yaml"):
            run(["rm", "-rf", path])
        command = [sys.executable, "-m", "tests.cluster.submit_as", user.home, data, "same"]
        user.run(["env", "-C", REPOSITORY, f"PYTHONPATH={REPOSITORY}", *command])
        sweeps.append(sweep)
    for sweep in sweeps:
        sweep.wait(lambda sweep=sweep: any(sweep.epochs.values()), 150, "a trial at work")
    first, second = sweeps
    assert {job.user for job in testbed.jobs() if job.state == "RUNNING"} == {user.name for user in users}
    # Neither reads the other's folder, nor joins the other's Ray with a token of its own.
    for path in (first.folder.token, first.folder.record, first.plan.folder.study):
        with pytest.raises(TestbedError, match="Permission denied"):
            users[1].run(["cat", path])
    assert "answer" in users[0].run(ask_head(first, first.folder.token), timeout_s=90)
    with pytest.raises(TestbedError, match=r"(?i)unauthenticated|invalid.?auth"):
        users[1].run(ask_head(first, second.folder.token), timeout_s=90)
    for sweep in sweeps:
        sweep.wait_complete()
        assert Counter(sweep.states.values()) == {"complete": 3}
    wait_for_empty_queue(testbed)
