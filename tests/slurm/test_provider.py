"""What Ray's autoscaler is told of worker jobs, with a stand-in for the queue."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from slurm import provider
from slurm.folder import Cluster, ClusterFolder, Head, Life
from slurm.job import Ending
from slurm.jobs import PolledJobs
from slurm.provider import MAX_FAILED_STARTS, WorkerProvider
from tests.slurm.stand_ins import Queue, make

POLL_S = 0.01


class Workers:
    """A head's provider, and the queue that it looks at."""

    def __init__(self, folder: ClusterFolder, queue: Queue) -> None:
        self.folder = folder
        self.queue = queue
        folder.announce(Head(address="node1:1", job="100", since=1.0))
        self.provider = WorkerProvider({"root": str(folder.root)}, "sweep")

    def start(self, count: int) -> list[str]:
        """Ask for workers, of which each joins only if the test says so."""
        before = self.queue.submitted
        self.provider.create_node_with_resources_and_labels({}, {"of": "this head"}, count, {}, {})
        return [str(number) for number in range(before + 1, before + count + 1)]

    def end(self, id: str, ending: Ending, *, joined: bool = False, at: float = 10.0) -> None:
        life = Life(self.folder.life(id), job=id, host="node1", started=5.0)
        life.joined = 6.0 if joined else None
        life.why = "no image"
        life.save()
        self.queue.show(id, "ended", ending=ending, started=5.0, ended=at)

    def problem(self) -> str | None:
        time.sleep(2 * POLL_S)
        self.provider.non_terminated_nodes({})
        return self.folder.problem_now()


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workers:
    _, _, folder = make(tmp_path)
    queue = Queue()

    def polled(cluster: Cluster, of: ClusterFolder) -> Any:
        del cluster
        return PolledJobs(queue, of, POLL_S)

    monkeypatch.setattr(provider, "open_polled_jobs", polled)
    return Workers(folder, queue)


def test_workers_that_end_before_they_join_end_the_sweep(workers: Workers) -> None:
    ids = workers.start(MAX_FAILED_STARTS)
    for id in ids[:-1]:
        workers.end(id, "failed")
    assert workers.problem() is None
    workers.end(ids[-1], "out_of_memory")
    assert "no image" in (workers.problem() or "")


@pytest.mark.parametrize("ending", ["preempted", "cancelled", "node_failed", "timeout"])
def test_workers_that_the_cluster_ended_prove_nothing(workers: Workers, ending: Ending) -> None:
    for id in workers.start(MAX_FAILED_STARTS + 1):
        workers.end(id, ending)
    assert workers.problem() is None


def test_the_workers_of_an_earlier_head_prove_nothing(workers: Workers) -> None:
    for id in workers.start(MAX_FAILED_STARTS):
        workers.end(id, "failed")
    workers.provider = WorkerProvider({"root": str(workers.folder.root)}, "sweep")
    assert workers.problem() is None


def test_the_last_to_end_decide_whatever_their_numbers(workers: Workers) -> None:
    ids = workers.start(10)
    # As text "10" would come before "2": it ended last, and it had joined.
    for at, id in enumerate(ids):
        workers.end(id, "failed", joined=id == "10", at=float(at))
    assert workers.problem() is None
