"""A sweep on a cluster: prepared here, led by a controller job, looked after from here."""

from __future__ import annotations

import os
import secrets
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from orchestration import credentials, driver
from orchestration.driver import Plan
from orchestration.errors import OrchestrationError, SweepError
from orchestration.folders import SweepFolder
from orchestration.frozen import freeze
from orchestration.identity import SweepRecord, claim
from orchestration.jobs_view import controller_of, leader
from orchestration.lock import hold
from orchestration.progress import Progress
from orchestration.ray_at import RemoteRay
from orchestration.runs import tracking_uri
from orchestration.spec import Resources
from orchestration.work import PRELOAD, Trainer
from slurm import controller, handover
from slurm.errors import SlurmError
from slurm.folder import Cluster, ClusterFolder, Head
from slurm.jobs import PolledJobs, open_jobs, open_polled_jobs
from slurm.private import write_private
from slurm.profile import LocalProfile, SlurmProfile
from wav2pix.errors import Wav2PixError

Profile = SlurmProfile | LocalProfile
CodeMode = Literal["frozen", "live"]
LOG_WIDTH = 160
# Held while a controller is submitted, so that two terminals do not submit two.
SUBMIT_LOCK = "submit.lock"
SUBMIT_S = 60.0
CANCEL_S = 120.0
POLL_S = 0.5


@dataclass(frozen=True)
class Submitted:
    """What came of submitting.

    Attributes:
        job: of the controller; nothing for a sweep that is complete.
        is_new: whether it was submitted now; else it was there already.
        notes: what a person should know, such as that the code has changed.
    """

    job: str
    is_new: bool
    notes: tuple[str, ...] = ()


def check_fit(resources: Resources, profile: Profile) -> None:
    """Nothing, or an error if a trial is larger than a worker.

    Raises:
        SweepError: it is.
    """
    for name, wanted, has in (
        ("CPUs", resources.cpus, profile.worker.cpus),
        ("GPUs", resources.gpus, profile.worker.gpus),
    ):
        if wanted > has:
            raise SweepError(
                f"a trial takes {wanted:g} {name} and a worker has {has}: raise 'worker' in the profile, or "
                "lower 'resources' in the sweep file"
            )


def submission_rows(plan: Plan, profile: Profile) -> dict[str, Any]:
    """What submitting would do, for a table or JSON.

    Raises:
        SweepError: a trial does not fit into a worker.
    """
    check_fit(plan.spec.resources, profile)
    worker = profile.worker
    shape = f"{worker.cpus} CPUs, {worker.gpus} GPUs, {worker.memory_gb:g} GB"
    limit = f", {profile.walltime_min} min each" if isinstance(profile, SlurmProfile) else ""
    note = _tracking_note(plan, profile)
    rows = plan.rows() | {
        "workers": f"{profile.workers.min} to {profile.most_workers}, as trials need them: {shape}{limit}",
        "controller": "one small job that leads the sweep",
        "cluster_folder": str(plan.folder.cluster),
    }
    return rows | {"note": note} if note else rows


def scripts(plan: Plan, profile: Profile) -> dict[str, str]:
    """The batch scripts of the jobs, by their kind; without any for a profile that needs none."""
    folder = ClusterFolder(plan.folder.cluster)
    jobs = open_jobs(_cluster(plan, profile, folder, None), folder)
    found = {"controller": jobs.script("controller"), "worker": jobs.script("worker")}
    return {kind: script for kind, script in found.items() if script}


def submit(plan: Plan, profile: Profile, code: CodeMode, trainer: Trainer | None = None) -> Submitted:
    """Submit the controller of a sweep, unless it has one.

    Args:
        trainer: what a trial runs; without it this project's.

    Raises:
        SweepError: a trial does not fit into a worker, the folder holds another sweep, or the profile allows no
            more jobs.
        SlurmError: the cluster does not answer, or refuses the job.
    """
    check_fit(plan.spec.resources, profile)
    if not plan.num_left:
        return Submitted("", is_new=False, notes=(f"sweep '{plan.spec.name}' is complete",))
    # Jobs say where they are to Ray, which has folders of its own.
    folder = ClusterFolder(plan.folder.cluster.absolute())
    plan.folder.make()
    # Not the driver's lock: the controller may start before its submission is over.
    with hold(plan.folder.root / SUBMIT_LOCK, f"the submission of '{plan.spec.name}'", wait_s=SUBMIT_S):
        present = leader(_polled(folder).latest()) if folder.record.is_file() else None
        if present is not None:
            return Submitted(present.id, is_new=False)
        with hold(plan.folder.lock, f"sweep '{plan.spec.name}'", wait_s=1):
            claim(plan.folder, plan.spec, plan.data_hash, tracking_uri(plan.spec.tracking.uri))
            notes = [_prepare(plan, profile, folder, code), _tracking_note(plan, profile)]
        work = partial(lead, plan.folder.root.absolute(), trainer=trainer)
        ids = _polled(folder).submit("controller", partial(controller.run, folder.root, work))
    if not ids:
        raise SweepError(
            f"workers of '{plan.spec.name}' take up all jobs that 'max_jobs' of the profile allows: "
            "wait until they end, or end them with `wav2pix sweep cancel`"
        )
    return Submitted(ids[0], is_new=True, notes=tuple(filter(None, notes)))


def check_not_led(plan: Plan) -> None:
    """Nothing, or an error if a controller has the sweep, or waits for its turn at it.

    Raises:
        SweepError: one has.
    """
    job = controller_of(plan.folder) if plan.num_left else None
    if job is not None:
        raise SweepError(
            f"sweep '{plan.spec.name}' was submitted to a cluster, where job {job.id} of it is {job.state}: "
            "`wav2pix sweep status` shows how far it is, `wav2pix sweep cancel` ends it"
        )


def lead(root: Path, head: Head, stop: controller.Stop, trainer: Trainer | None = None) -> bool:
    """Run what is left of the sweep in ``root`` on a Ray cluster; what a controller job does.

    Returns:
        Whether the sweep is complete.
    """
    folder = SweepFolder(root)
    cluster = ClusterFolder(folder.cluster)
    try:
        record = SweepRecord.load(folder)
        # Where the submitter's environment said, whatever that of the job says.
        os.environ["MLFLOW_TRACKING_URI"] = record.tracking_uri or ""
        plan = driver.make_plan(record.spec)
        records = driver.read_sweep(folder).records
        # Bound to this stream: what Ray prints while trials run goes elsewhere.
        progress = Progress(plan.spec, plan.num_trials, records, Console(file=sys.stdout, width=LOG_WIDTH))
        ray_at = RemoteRay(head.address, cluster.token)
        result = driver.run_sweep(
            plan, progress, trainer, ray_at=ray_at, stop=stop, problem=lambda: cluster.problem_now() or ""
        )
    except (OrchestrationError, Wav2PixError) as error:
        cluster.give_up(str(error))
        raise
    for problem in result.problems:
        print(f"warning: {problem}", flush=True)  # noqa: T201 - the job's log
    return result.num_left == 0


def cancel(folder: SweepFolder) -> list[str]:
    """End all jobs of a sweep, and wait until they are gone; its trials can be gone on with.

    Returns:
        The jobs that were there.

    Raises:
        SweepError: it never had any.
        SlurmError: the cluster does not answer, or they did not end in time.
    """
    if not ClusterFolder(folder.cluster).record.is_file():
        raise SweepError(f"'{folder.name}' was not submitted to a cluster; Ctrl-C ends a `sweep run`")
    jobs = _polled(ClusterFolder(folder.cluster))
    alive = [job for job in jobs.latest() if job.state != "ended"]
    # The controller first, so that it submits no more workers.
    ended = [job.id for job in sorted(alive, key=lambda job: job.kind)]
    jobs.cancel(ended)
    deadline = time.monotonic() + CANCEL_S
    while late := [job.id for job in jobs.latest() if job.state != "ended"]:
        # Submitted by the controller meanwhile.
        new = [id for id in late if id not in ended]
        jobs.cancel(new)
        ended += new
        if time.monotonic() > deadline:
            raise SlurmError(
                f"the jobs of '{folder.name}' were cancelled but have not ended in {CANCEL_S:.0f} s"
            )
        time.sleep(POLL_S)
    handover.forget(ClusterFolder(folder.cluster))
    return ended


def _tracking_note(plan: Plan, profile: Profile) -> str:
    """What to know of tracking where trials run on several hosts."""
    uri = tracking_uri(plan.spec.tracking.uri)
    if isinstance(profile, LocalProfile) or (uri and not uri.startswith("sqlite")):
        return ""
    return (
        "compute nodes of several hosts track trials in one SQLite file, which is fine to try; "
        "a real sweep wants a server: 'tracking: {uri: ...}' in the sweep file, or MLFLOW_TRACKING_URI"
    )


def _polled(folder: ClusterFolder) -> PolledJobs:
    return open_polled_jobs(Cluster.load(folder), folder)


def _prepare(plan: Plan, profile: Profile, folder: ClusterFolder, code: CodeMode) -> str:
    """Token, code and cluster in the sweep's folder; a note if the code is no longer what it was."""
    folder.create()
    credentials.give_to_jobs(folder)
    if not folder.token.exists():
        write_private(folder.token, secrets.token_hex(32).encode())
    frozen = freeze(folder.code) if code == "frozen" else None
    before = _code_before(folder)
    _cluster(plan, profile, folder, frozen.path if frozen else None).save(folder)
    folder.forget_problem()
    if before is None or (frozen is not None and frozen.path == before):
        return ""
    old, new = before.name, frozen.path.name if frozen else "live code"
    return f"the code has changed since the sweep was last submitted: {old} then, {new} now"


def _code_before(folder: ClusterFolder) -> Path | None:
    """The frozen code of the last submission, if there was one."""
    with suppress(SlurmError):
        return Cluster.load(folder).code
    return None


def _cluster(plan: Plan, profile: Profile, folder: ClusterFolder, code: Path | None) -> Cluster:
    """The sweep's cluster: under the name that its jobs had before, so that they are found again."""
    new = Cluster.new(plan.spec.name, profile, code=code, cwd=Path.cwd(), preload=PRELOAD)
    if not folder.record.is_file():
        return new
    return new.model_copy(update={"id": Cluster.load(folder).id})
