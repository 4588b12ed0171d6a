"""Taking the best trial home: weights, configuration, a card that says what they are worth, and pictures."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from orchestration import results
from orchestration.driver import Result
from orchestration.errors import SweepError
from orchestration.folders import checkpoint_key, trial_key
from orchestration.identity import SweepRecord
from orchestration.records import TrialRecord
from orchestration.storage import FolderStore
from orchestration.work import Trainer, Wav2PixTrainer
from wav2pix.files import new_folder

# An export is recognised by this file, and only an export is ever replaced.
MARK = "export.json"


def export_trial(result: Result, number: int | None, out: Path, trainer: Trainer | None = None) -> TrialRecord:
    """Write a trial's best epoch to the folder ``out``; the best trial's, if none is named.

    Raises:
        SweepError: there is no such trial, it has no checkpoint, or ``out`` holds something else.
    """
    record = _choose(result, number)
    _check_free(out)
    store = FolderStore(result.folder.root)
    key = checkpoint_key(record.number, record.progress.epoch)
    if key not in store.list(f"{trial_key(record.number)}/checkpoints"):
        raise SweepError(f"the checkpoint {result.folder.root / key} of trial {record.number} is gone")
    with tempfile.TemporaryDirectory(prefix="wav2pix-") as name, new_folder(out) as target:
        kept, model = Path(name) / "kept", Path(name) / "model"
        store.get(key, kept)
        (trainer or Wav2PixTrainer()).export(kept / "checkpoint", model)
        shutil.copytree(model, target, dirs_exist_ok=True)
        shutil.copyfile(kept / "pictures.png", target / "pictures.png")
        facts = _facts(result, record, json.loads((kept / "trial.json").read_text())["code"])
        (target / MARK).write_text(json.dumps(facts, indent=2))
        (target / "README.md").write_text(_card(facts, out))
    return record


def _choose(result: Result, number: int | None) -> TrialRecord:
    if number is None:
        best = results.best(result.records, result.spec.goals)
        if not best:
            raise SweepError(f"no trial of '{result.spec.name}' is finished yet; see `wav2pix sweep status`")
        return best[0]
    found = [record for record in result.records if record.number == number]
    if not found or not found[0].has_value:
        known = ", ".join(str(record.number) for record in result.records if record.has_value)
        raise SweepError(
            f"no trial {number} with a checkpoint in '{result.spec.name}'; there are {known or 'none'}"
        )
    return found[0]


def _check_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise SweepError(f"{out} is a file; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise SweepError(f"{out} holds files that are no export of ours; choose another --out")


def _facts(result: Result, record: TrialRecord, code: str) -> dict[str, Any]:
    spec = result.spec
    return {
        "sweep": spec.name,
        "trial": record.number,
        "epoch": record.progress.epoch,
        "epochs": record.progress.epochs,
        "state": record.state,
        "why": results.why(result.records, spec.goals)
        if _is_best(result, record)
        else "it was asked for by number",
        "objective": [f"{goal.direction} {goal.metric}" for goal in spec.goals],
        "preset": spec.preset,
        "settings": spec.settings | record.params,
        "metrics": record.progress.metrics,
        "data": str(spec.data),
        "data_hash": SweepRecord.load(result.folder).data_hash,
        "code": code,
    }


def _is_best(result: Result, record: TrialRecord) -> bool:
    return record in results.best(result.records, result.spec.goals)


def _card(facts: dict[str, Any], out: Path) -> str:
    metrics = facts["metrics"]
    beside = [
        ("identity_accuracy", "identity_accuracy_ceiling", "of real faces"),
        ("identity_accuracy_shuffled", "identity_accuracy_chance", "by chance"),
        ("l1", "l1_mean_face", "of the mean face of the identity, the baseline"),
    ]
    rows = [
        f"| {name} | {metrics[name]:.4f} | {metrics[other]:.4f} {what} |"
        for name, other, what in beside
        if name in metrics and other in metrics
    ]
    if "kid" in metrics:
        rows.append(f"| kid | {metrics['kid']:.4f} | 0, as real faces |")
    rows += [
        f"| {name} | {metrics[name]:.4f} | 1, as real faces |"
        for name in ("sharpness", "diversity")
        if name in metrics
    ]
    settings = [f"| `{key}` | {value} |" for key, value in facts["settings"].items()]
    return _CARD.format(
        **facts,
        out=out,
        measures="\n".join(["| measure | this model | beside |", "|---|---|---|", *rows]),
        table="\n".join(["| setting | value |", "|---|---|", *settings]),
    )


_CARD = """\
# Wav2Pix: trial {trial} of the sweep {sweep}

Draws a speaker's face from speech. Epoch {epoch} of a training of preset `{preset}`, chosen because {why}.

    wav2pix generate --model {out} speech.wav --out face.png

Measured on held-out recordings of the same speakers:

{measures}

It knows the speakers that it was trained on (`model.json` names them). Of anybody else's voice it draws a
face that tells nothing about that person. `pictures.png` has real faces above generated ones.

{table}

- data: {data}, SHA-256 {data_hash}
- code: {code}
- files: `model.safetensors` (weights), `model.json` (configuration, identities), `export.json` (this card)
"""
