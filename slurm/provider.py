"""Ray's autoscaler asks here for nodes: one node is one SLURM job.

Ray's autoscaler v2 imports :class:`WorkerProvider` in the head's monitor process (provider type ``external``)
and calls it from several threads: what exists, make so many, end these. What it decides follows the trials that
wait. Everything is in SLURM's queue and in the sweep's folder, so that a new head finds an old one's workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    NODE_KIND_WORKER,
    TAG_RAY_NODE_KIND,
    TAG_RAY_USER_NODE_TYPE,
)

from slurm import worker
from slurm.errors import SchedulerError, SlurmError
from slurm.folder import Cluster, ClusterFolder
from slurm.jobs import Ending, Job, open_polled_jobs
from slurm.ray_node import HEAD, WORKER

HEAD_TAGS = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: HEAD}
WORKER_TAGS = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER, TAG_RAY_USER_NODE_TYPE: WORKER}
# So many workers in a row that end before they have joined: something is wrong with all of them.
MAX_FAILED_STARTS = 3
FAILED: tuple[Ending, ...] = ("failed", "out_of_memory", "completed")
FIRST_WAIT_S = 15.0
LAST_WAIT_S = 300.0


class WorkerProvider(NodeProvider):
    """Worker jobs as Ray's autoscaler sees them."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._folder = ClusterFolder(Path(provider_config["root"]))
        self._jobs = open_polled_jobs(Cluster.load(self._folder), self._folder)
        self._tags: dict[str, dict[str, str]] = {}
        self._known: dict[str, Job] = {}
        self._unseen: set[str] = set()
        self._lock = threading.Lock()
        self._patience = Patience()

    def non_terminated_nodes(self, tag_filters: Mapping[str, str]) -> list[str]:
        """The head and every worker job that waits or runs.

        Raises:
            SchedulerError: SLURM does not answer; the autoscaler then skips a round and concludes nothing.
        """
        workers = [job for job in self._jobs.latest() if job.kind == "worker"]
        self._look_for_failed_starts(workers)
        with self._lock:
            # The autoscaler waits for what it asked for until it has seen it, though it may be gone by then.
            self._known = {
                job.id: job for job in workers if job.state in ("pending", "running") or job.id in self._unseen
            }
            self._unseen -= self._known.keys()
            nodes = [HEAD, *self._known]
        return [node for node in nodes if tag_filters.items() <= self.node_tags(node).items()]

    def is_running(self, node_id: str) -> bool:
        """Whether a job has started."""
        return node_id == HEAD or (node_id in self._known and self._known[node_id].state == "running")

    def is_terminated(self, node_id: str) -> bool:
        """Whether a job is over."""
        return node_id != HEAD and node_id not in self._known

    def node_tags(self, node_id: str) -> dict[str, str]:
        """A job that an earlier head submitted has the tags of a worker and no more."""
        return HEAD_TAGS if node_id == HEAD else {**WORKER_TAGS, **self._tags.get(node_id, {})}

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        """Submit so many worker jobs; returns at once.

        Raises:
            SchedulerError: SLURM did not take them, or did not a moment ago.
            SlurmError: this head is about to end.
        """
        del node_config, resources, labels
        self._check_head()
        with self._lock:
            self._patience.check()
            try:
                ids = self._jobs.submit("worker", partial(worker.run, self._folder.root), count)
            except SchedulerError:
                self._patience.failed()
                raise
            self._patience.worked()
            self._tags |= dict.fromkeys(ids, tags)
            self._unseen |= set(ids)

    def terminate_nodes(self, node_ids: list[str]) -> None:
        """Cancel jobs, in one call.

        Raises:
            SlurmError: this head is about to end; the next one finds the jobs.
        """
        self._check_head()
        self._jobs.cancel([node for node in node_ids if node != HEAD])

    def terminate_node(self, node_id: str) -> None:
        """Cancel one job."""
        self.terminate_nodes([node_id])

    def _check_head(self) -> None:
        if self._folder.head_now() is None:
            raise SlurmError("this head is about to end; the next one decides")

    def _look_for_failed_starts(self, workers: list[Job]) -> None:
        """Stop a sweep whose workers end before they join: nobody wants hundreds of them."""
        # Of this head's: whoever submits again has mended the cause. Preempted or cancelled ones prove nothing.
        ended = [job for job in workers if job.id in self._tags and job.ending in FAILED]
        ended.sort(key=lambda job: job.ended or 0.0)
        recent = [self._folder.life_of(job.id) for job in ended[-MAX_FAILED_STARTS:]]
        if len(recent) == MAX_FAILED_STARTS and not any(life and life.joined for life in recent):
            why = next((life.why for life in reversed(recent) if life and life.why), "it left no word")
            self._folder.give_up(
                f"the last {MAX_FAILED_STARTS} worker jobs ended before they joined the sweep: {why}\n"
                f"see their logs in {self._folder.jobs}, mend the cause and submit again"
            )


class Patience:
    """After SLURM refused a job, asks again only after a while that doubles."""

    def __init__(self) -> None:
        self._wait_s = 0.0
        self._until = 0.0

    def check(self) -> None:
        """Nothing, or an error while it is too early.

        Raises:
            SlurmError: it is.
        """
        if time.monotonic() < self._until:
            raise SlurmError("SLURM refused the last job; asking again later")

    def failed(self) -> None:
        """A job was refused."""
        self._wait_s = min(max(FIRST_WAIT_S, 2 * self._wait_s), LAST_WAIT_S)
        self._until = time.monotonic() + self._wait_s

    def worked(self) -> None:
        """A job was taken."""
        self._wait_s = 0.0
