"""Nodes go and trials stay: real Ray with nodes that leave and die, a stand-in for the trainer."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._private.node import Node
from ray.cluster_utils import Cluster
from standin import StandInTrainer
from watching import running, wait_for

from orchestration import losses, sweep
from orchestration.driver import Plan, read_sweep
from orchestration.errors import SweepError
from orchestration.ray_at import RemoteRay
from orchestration.spec import SweepSpec

pytestmark = pytest.mark.slow

EPOCHS = 8
TRAINER = StandInTrainer(seconds=0.4)


class Nodes:
    """A cluster of one CPU a node; each node is as a worker job starts it."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.remote = RemoteRay(cluster.address, Path(os.environ["RAY_AUTH_TOKEN_PATH"]))
        self._folder = folder
        self._nodes: dict[Path, Node] = {}

    def add(self) -> Path:
        """Another node; its own folder."""
        own = self._folder / f"node-{len(self._nodes)}"
        own.mkdir()
        self._nodes[own] = self.cluster.add_node(num_cpus=1, env_vars={"WAV2PIX_NODE": str(own)})
        return own

    def kill(self, own: Path, trial: int) -> None:
        """As SLURM kills a job: the process of the trial and a moment later the node's own."""
        os.kill(trial, signal.SIGKILL)
        time.sleep(1)
        for process in self._nodes[own].all_processes["raylet"]:
            process.process.kill()

    def remove_all(self) -> None:
        """The end of a test."""
        for node in self._nodes.values():
            self.cluster.remove_node(node)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("head")
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(sweep.TOKEN)
    # Ray shows workers the folder that the driver was started in; what lies there is none of their business.
    (folder / "standin.py").write_text("raise RuntimeError('other code of the same name')")
    # The names of Ray's sockets leave no room for pytest's folders.
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="w2p-", dir="/tmp") as short:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        # Ray's workers unpickle the stand-in by the name of its module.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        # Twice as quick to find a dead node as Ray is by default. Not more: on a busy machine it would take the
        # node of this very process for dead, and end the process with it.
        patch.setenv("RAY_health_check_period_ms", "1500")
        patch.setattr(losses.Nodes, "grace_s", losses.Nodes.grace_s / 2)
        settings = {"num_cpus": 0, "include_dashboard": False, "temp_dir": short}
        cluster = Cluster(initialize_head=True, head_node_args=settings)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def nodes(head: Cluster, tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path, head)
    yield nodes
    nodes.remove_all()


def plan(tmp_path: Path, batch_sizes: list[int], **changes: object) -> Plan:
    (tmp_path / "data").mkdir()
    tree = {
        "name": "moving",
        "data": tmp_path / "data",
        "preset": "small",
        "search": {"batch_size": {"type": "categorical", "choices": batch_sizes}},
        "sampler": "grid",
        "objective": {"metric": "l1", "direction": "minimize"},
        "trials": len(batch_sizes),
        "epochs": EPOCHS,
        "max_concurrent": 1,
        "max_failures": 0,
        "storage": tmp_path / "runs",
    }
    return Plan(SweepSpec.model_validate(tree | changes), "hash", 1, 1, len(batch_sizes), 0)


def processes_of(plan: Plan, number: int) -> list[int]:
    """The processes that worked on a trial, in their order, as its log has it."""
    log = plan.folder.trial_log(number).read_text()
    return [int(found) for found in re.findall(r"on host \S+, process (\d+)", log)]


def node_of(process: int) -> Path:
    """The folder of the node that a process runs on."""
    variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return Path(next(v for v in variables if v.startswith(b"WAV2PIX_NODE=")).decode().split("=", 1)[1])


def test_trials_move_away_from_a_node_that_is_to_end_and_no_other_starts_there(
    nodes: Nodes, tmp_path: Path
) -> None:
    sweep_plan = plan(tmp_path, [8, 9])
    nodes.add()
    with running(sweep_plan, TRAINER, nodes.remote) as (latest, result, _):
        wait_for(lambda: latest.epochs(0) >= 2, "two epochs")
        left = node_of(processes_of(sweep_plan, 0)[0])
        (left / "leaving").touch()
        nodes.add()
        records = result().records
    assert [(record.state, record.progress.epochs) for record in records] == [("complete", EPOCHS)] * 2
    assert all(record.failures == () for record in records)
    assert records[0].losses == 1
    log = sweep_plan.folder.trial_log(0).read_text()
    assert "leaves: its node is about to end" in log
    assert re.search(r"goes on after epoch [2-7]\n", log)
    assert log.count("epoch 3 of 8") == 1, "nothing is trained twice"
    assert len(processes_of(sweep_plan, 0)) == 2
    assert len(processes_of(sweep_plan, 1)) == 1


def test_a_node_that_dies_costs_its_trial_no_failure(nodes: Nodes, tmp_path: Path) -> None:
    sweep_plan = plan(tmp_path, [8])
    first = nodes.add()
    with running(sweep_plan, TRAINER, nodes.remote) as (latest, result, _):
        wait_for(lambda: latest.epochs(0) >= 2, "two epochs")
        nodes.kill(first, processes_of(sweep_plan, 0)[0])
        nodes.add()
        (record,) = result().records
    assert (record.state, record.progress.epochs) == ("complete", EPOCHS)
    assert (record.failures, record.losses) == ((), 1)
    assert read_sweep(sweep_plan.folder).records == [record]


def test_a_trial_whose_process_dies_on_a_living_node_has_failed(nodes: Nodes, tmp_path: Path) -> None:
    sweep_plan = plan(tmp_path, [8, 9], max_failures=1)
    nodes.add()
    with running(sweep_plan, TRAINER, nodes.remote) as (latest, result, _):
        wait_for(lambda: latest.epochs(0) >= 2, "two epochs")
        os.kill(processes_of(sweep_plan, 0)[0], signal.SIGKILL)
        # The verdict takes its time, in which another trial may use the node.
        wait_for(lambda: latest.epochs(0) >= 4, "going on")
        os.kill(processes_of(sweep_plan, 0)[1], signal.SIGKILL)
        killed, other = result().records
    assert (killed.state, killed.reason) == ("failed", losses.KILLED)
    assert (killed.failures, killed.losses) == ((losses.KILLED, losses.KILLED), 0)
    assert other.state == "complete"


def test_a_sweep_that_is_stopped_or_has_a_problem_leaves_its_trials_to_go_on(
    nodes: Nodes, tmp_path: Path
) -> None:
    sweep_plan = plan(tmp_path, [8])
    nodes.add()
    with running(sweep_plan, TRAINER, nodes.remote) as (latest, result, stop):
        wait_for(lambda: latest.epochs(0) >= 2, "two epochs")
        stop.set()
        assert result().num_left == 1
    assert [record.state for record in read_sweep(sweep_plan.folder).records] == ["running"]

    problem = ""
    with running(sweep_plan, TRAINER, nodes.remote, lambda: problem) as (latest, result, _):
        wait_for(lambda: latest.epochs(0) >= 4, "two more")
        problem = "no worker ever joined"
        with pytest.raises(SweepError, match="no worker ever joined"):
            result()

    with running(sweep_plan, TRAINER, nodes.remote) as (_, result, _):
        (record,) = result().records
    assert (record.state, record.failures, record.losses) == ("complete", (), 0)
    log = sweep_plan.folder.trial_log(0).read_text()
    assert log.count("goes on after epoch") == 2
    assert all(log.count(f" epoch {epoch} of 8") == 1 for epoch in range(1, 9)), "nothing is trained twice"
