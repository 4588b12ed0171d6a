"""What squeue says, read strictly: a line that is not understood must not look like a job that is gone."""

from __future__ import annotations

from collections.abc import Iterator

from slurm.errors import SchedulerError
from slurm.job import Ending, Job, JobState, Kind

# Id (with --array one line for each task), name, state, times of submission, start and end, host, reason. The
# reason comes last, since it alone may hold the separator.
FORMAT = "%i|%j|%T|%V|%S|%e|%N|%r"
NUM_FIELDS = 8
# Times in unix seconds instead of a local time without its zone.
ENVIRONMENT = {"SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"}

STATES: dict[str, JobState] = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "POWER_UP_NODE", "EXPEDITING"), "pending"),
    **dict.fromkeys(("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"), "pending"),
    **dict.fromkeys(("RUNNING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING"), "running"),
    **dict.fromkeys(("COMPLETING", "STAGE_OUT", "UPDATE_DB"), "ending"),
}
ENDINGS: dict[str, Ending] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "PREEMPTED": "preempted",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "OUT_OF_MEMORY": "out_of_memory",
    "NODE_FAIL": "node_failed",
    "BOOT_FAIL": "node_failed",
    "LAUNCH_FAILED": "node_failed",
    "RECONFIG_FAIL": "node_failed",
}


def squeue_arguments(names: dict[str, Kind], user: int) -> list[str]:
    """One squeue for all jobs of these names, ended ones too."""
    return [
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        f"--user={user}",
        f"--name={','.join(names)}",
        f"--format={FORMAT}",
    ]


def read_queue(output: str, names: dict[str, Kind]) -> list[Job]:
    """The jobs of an answer; a name tells the kind.

    Raises:
        SchedulerError: a line cannot be understood.
    """
    return list(_jobs(output, names))


def _jobs(output: str, names: dict[str, Kind]) -> Iterator[Job]:
    for line in filter(str.strip, output.splitlines()):
        fields = line.strip().split("|", NUM_FIELDS - 1)
        known = len(fields) == NUM_FIELDS and fields[0] and fields[1] in names
        if not known or fields[2] not in {*STATES, *ENDINGS}:
            raise SchedulerError(f"squeue answered what cannot be understood: {line.strip()!r}")
        id, name, word, submitted, started, ended, host, reason = fields
        state = STATES.get(word, "ended")
        yield Job(
            id=id,
            kind=names[name],
            state=state,
            ending=ENDINGS.get(word),
            reason="" if reason == "None" else reason,
            host=host,
            submitted=_time(submitted),
            # Of a job that waits SLURM gives the start that it expects, of one that runs the end.
            started=_time(started) if state != "pending" else None,
            ended=_time(ended) if state == "ended" else None,
        )


def _time(text: str) -> float | None:
    return float(text) if text.isdigit() and text != "0" else None
