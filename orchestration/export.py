"""Taking the best trial home: weights, configuration, a card that says what they are worth, and pictures."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration import results
from orchestration.cards import card
from orchestration.checks import trial_config
from orchestration.driver import Result
from orchestration.errors import SweepError
from orchestration.folders import checkpoint_key
from orchestration.identity import SweepRecord
from orchestration.records import TrialRecord
from orchestration.storage import MissingArtifact, open_store
from orchestration.where import kept
from orchestration.work import Trainer, Wav2PixTrainer
from wav2pix.files import new_folder

# An export is recognised by this file, and only an export is ever replaced.
MARK = "export.json"


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        facts: of ``export.json``.
    """

    record: TrialRecord
    folder: Path
    facts: Mapping[str, Any]


def export_trial(
    result: Result, number: int | None, out: Path, trainer: Trainer | None = None, where: str | None = None
) -> Export:
    """Write a trial's best epoch to the folder ``out``: the best trial's, if none is named.

    Args:
        where: only such trials, as :mod:`orchestration.where` has it.

    Raises:
        SweepError: there is no such trial, it has no checkpoint, or ``out`` holds something else.
        StorageError: the checkpoint cannot be fetched, or is damaged.
    """
    record, reason = _choose(result, number, where)
    _check_free(out)
    with tempfile.TemporaryDirectory(prefix="wav2pix-") as name, new_folder(out) as target:
        kept, model = Path(name) / "kept", Path(name) / "model"
        _get_checkpoint(result, record, kept)
        (trainer or Wav2PixTrainer()).export(kept / "checkpoint", model)
        shutil.copytree(model, target, dirs_exist_ok=True)
        shutil.copyfile(kept / "pictures.png", target / "pictures.png")
        facts = _facts(result, record, reason, json.loads((kept / "trial.json").read_text())["code"])
        (target / MARK).write_text(json.dumps(facts, indent=2))
        (target / "README.md").write_text(card(facts, str(out)))
    return Export(record, out, facts)


def checkpoint_place(result: Result, record: TrialRecord) -> str:
    """Where the checkpoint of a trial's best epoch is; in the sweep's folder as well if it was not sent yet."""
    key = checkpoint_key(record.number, record.progress.epoch)
    artifacts = result.spec.artifacts
    if artifacts is None or artifacts.uri is None:
        return str(result.folder.root / key)
    return f"{artifacts.uri}/{result.spec.name}-{SweepRecord.load(result.folder).sweep_id}/{key}"


def _get_checkpoint(result: Result, record: TrialRecord, target: Path) -> None:
    sweep_id = SweepRecord.load(result.folder).sweep_id
    try:
        open_store(result.folder, result.spec.artifacts, sweep_id).get(
            checkpoint_key(record.number, record.progress.epoch), target
        )
    except MissingArtifact:
        place = checkpoint_place(result, record)
        raise SweepError(f"the checkpoint {place} of trial {record.number} is gone") from None


def _choose(result: Result, number: int | None, where: str | None) -> tuple[TrialRecord, str]:
    """A trial, and why this one."""
    records, goals = kept(result.records, where), result.spec.goals
    if number is None:
        best = results.best(records, goals)
        if not best:
            why = results.why(records, goals, where)
            raise SweepError(f"nothing of '{result.spec.name}' to export: {why}; see `wav2pix sweep compare`")
        return best[0], results.why(records, goals, where)
    found = [record for record in records if record.number == number]
    if not found or not found[0].has_value:
        known = ", ".join(str(record.number) for record in records if record.has_value)
        raise SweepError(
            f"no trial {number} with a checkpoint in '{result.spec.name}'; there are {known or 'none'}"
        )
    is_best = found[0] in results.best(records, goals)
    return found[0], results.why(records, goals, where) if is_best else "it was asked for by number"


def _check_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SweepError(f"{out} is a file; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise SweepError(f"{out} holds files that are no export of ours; choose another --out")


def _facts(result: Result, record: TrialRecord, reason: str, code: str) -> dict[str, Any]:
    spec = result.spec
    return {
        "sweep": spec.name,
        "trial": record.number,
        "epoch": record.progress.epoch,
        "epochs": record.progress.epochs,
        "state": record.state,
        "why": reason,
        "objective": [f"{goal.direction} {goal.metric}" for goal in spec.goals],
        "preset": spec.preset,
        "settings": spec.settings | record.params,
        "seed": trial_config(spec, record.params).seed,
        "metrics": record.progress.metrics,
        "data": str(spec.data),
        "data_hash": SweepRecord.load(result.folder).data_hash,
        "code": code,
    }
