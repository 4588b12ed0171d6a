"""What can be told of a site without a job: whether SLURM answers, and would take the jobs of a profile."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from slurm.command import run_command
from slurm.errors import NoAnswer, SchedulerError, SlurmError
from slurm.job import Kind
from slurm.private import write_private
from slurm.profile import SlurmProfile
from slurm.report import Finding
from slurm.scratch import check_length

MUNGE = re.compile(r"munge|authentication|credential", re.IGNORECASE)
MUNGE_CURE = (
    "munged has to run on this machine, with the cluster's key and the right time: "
    "`munge -n | unmunge` tells; its administrator can mend it"
)
NO_ANSWER_CURE = (
    "try again later, or raise 'command_timeout_s' in the profile; `scontrol ping` tells whether SLURM is up"
)
# What SLURM says when it would not take a job; what that is about, and what to do.
REFUSALS = (
    (
        r"account(?!ing)",
        "account",
        "set 'account' in the profile; `sacctmgr show assoc user=$USER` lists yours",
    ),
    (r"qos", "qos", "set 'qos' in the profile; `sacctmgr show assoc user=$USER` lists yours"),
    (r"partition", "partition", "set 'partition' in the profile; `sinfo` lists them"),
    (
        r"feature|constraint",
        "constraint",
        "mend 'constraint' in the profile; `sinfo -o '%P %f'` lists features",
    ),
    (r"time limit", "walltime", "lower 'walltime_min' in the profile; `sinfo -o '%P %l'` lists limits"),
    (
        r"node configuration|gres|memory|cpu|processors|tres",
        "worker",
        "no node has that much: lower 'worker' in the profile; `sinfo -o '%P %c %m %G'` lists what nodes have",
    ),
)
QUESTIONS = (
    ("squeue", "--noheader", f"--user={os.getuid()}"),
    ("scontrol", "show", "config"),
    ("scontrol", "show", "partition", "--oneliner"),
)
CURE = "compare the profile with `sinfo` and `scontrol show partition`"


def check_scratch(scratch: Path) -> Finding | None:
    """A finding if sockets in the scratch folder would have paths that are too long."""
    try:
        check_length(scratch)
    except SlurmError as error:
        return said("scratch", error)
    return None


def check_site(profile: SlurmProfile, scripts: Mapping[Kind, str], folder: Path) -> Iterator[Finding]:
    """Ask SLURM whether it answers and would take the jobs; after a failure there is no point in a job.

    Args:
        scripts: the batch scripts of the jobs.
        folder: for these scripts.
    """
    started, answers = time.monotonic(), []
    for question in QUESTIONS:
        try:
            answers.append(_ask(profile, *question))
        except SchedulerError as error:
            yield explain(question[0], error)
            return
    seconds = time.monotonic() - started
    yield Finding("ok", "squeue", f"squeue and scontrol answer in {seconds:.2f} s, munge included")
    yield _kill_wait(profile, answers[1])
    partitions = _partitions(answers[2])
    faults: set[str] = set()
    for kind, script in scripts.items():
        names = _options(profile, kind)[0].split(",")
        bad = {name: fault for name in names if name and (fault := _check_partition(name, partitions))}
        yield from (fault for name, fault in bad.items() if name not in faults)
        faults.update(bad)
        if not bad:
            yield _would_take(profile, kind, script, folder)


def explain(what: str, error: SchedulerError) -> Finding:
    """A finding for what a command of SLURM said."""
    words = _words(error)
    if MUNGE.search(words):
        lines = [line for line in words.splitlines() if re.search(r"munge (en|de)code", line, re.IGNORECASE)]
        return Finding("failure", "munge", (lines or words.splitlines())[0], MUNGE_CURE)
    if str(error).startswith("no '"):
        return said(what, error)
    if isinstance(error, NoAnswer):
        return Finding("failure", what, " ".join(words.splitlines()), NO_ANSWER_CURE)
    for pattern, about, cure in REFUSALS:
        if re.search(pattern, words, re.IGNORECASE):
            return Finding("failure", about, f"{what}: {'; '.join(words.splitlines())}", cure)
    return Finding("failure", what, "; ".join(words.splitlines()), CURE)


def said(what: str, error: SlurmError) -> Finding:
    """A finding of an error, whose message is ``what is wrong; what to do``."""
    detail, _, cure = str(error).partition("; ")
    return Finding("failure", what, detail, cure)


def _ask(profile: SlurmProfile, *arguments: str) -> str:
    return run_command(arguments, profile.command_timeout_s, {"LC_ALL": "C"})


def _words(error: SchedulerError) -> str:
    """SLURM's own words, without the names of its commands."""
    lines = re.sub(r"^\w+ failed: ", "", str(error)).splitlines()
    return "\n".join(
        re.sub(r"^(\w+: )?(error|allocation failure|fatal): ", "", line.strip())
        for line in lines
        if line.strip()
    )


def _kill_wait(profile: SlurmProfile, config: str) -> Finding:
    found = re.search(r"^KillWait\s*=\s*(\d+)", config, re.MULTILINE)
    if found is None:
        return Finding("warning", "KillWait", "`scontrol show config` does not say it", "ask the administrator")
    seconds = int(found[1])
    if seconds < profile.kill_wait_s:
        return Finding(
            "warning",
            "KillWait",
            f"SLURM kills {seconds} s after SIGTERM, the profile counts on {profile.kill_wait_s:g} s",
            f"set 'kill_wait_s: {seconds}' in the profile",
        )
    return Finding(
        "ok", "KillWait", f"SLURM leaves {seconds} s after SIGTERM, the profile needs {profile.kill_wait_s:g} s"
    )


def _partitions(answer: str) -> dict[str, str]:
    """State of every partition."""
    rows = (dict(word.split("=", 1) for word in line.split() if "=" in word) for line in answer.splitlines())
    return {row["PartitionName"]: row.get("State", "") for row in rows if "PartitionName" in row}


def _check_partition(name: str, partitions: Mapping[str, str]) -> Finding | None:
    if name not in partitions:
        close = difflib.get_close_matches(name, partitions, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(partitions) or 'none'}"
        return Finding(
            "failure",
            "partition",
            f"there is no partition '{name}', or not for you",
            f"set 'partition': {hint}",
        )
    if partitions[name] != "UP":
        cure = "wait until `sinfo` shows it up, or set another 'partition'"
        return Finding("failure", "partition", f"partition '{name}' is {partitions[name]}", cure)
    return None


def _would_take(profile: SlurmProfile, kind: Kind, script: str, folder: Path) -> Finding:
    """Ask sbatch with the job's very options."""
    path = folder / f"{kind}.sh"
    write_private(path, script.encode())
    try:
        _ask(profile, "sbatch", "--test-only", str(path))
    except SchedulerError as error:
        return explain(f"{kind} job", error)
    partition, account = _options(profile, kind)
    words = f"partition {partition or 'of the site'}, account {account or 'of the site'}"
    return Finding("ok", f"{kind} job", f"sbatch would take it: {words}")


def _options(profile: SlurmProfile, kind: Kind) -> tuple[str, str]:
    """Partition and account of a kind of job; empty where the site's own are meant."""
    own = profile.controller if kind == "controller" else profile
    return own.partition or profile.partition or "", own.account or profile.account or ""
