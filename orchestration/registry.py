"""The model registry: an export becomes the champion of its sweep when it is better, and comes home by name.

A sweep's model is ``wav2pix-<sweep>``. Its alias ``champion`` is the best export so far, ``previous`` the one
before. Two exports can be told apart only by the same objective on the same data.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.cards import card
from orchestration.driver import Result
from orchestration.embedded import database_of
from orchestration.errors import SweepError, TrackingError
from orchestration.export import Export
from orchestration.folders import Storage, trial_name
from orchestration.identity import SweepRecord
from orchestration.lock import hold
from orchestration.runs import tracking_target, tracking_uri
from orchestration.secrets import without_secrets
from orchestration.spec import Objective

if TYPE_CHECKING:
    from orchestration.tracking.models import ModelRegistry, Version

LOCK_WAIT_S = 60.0

CHAMPION = "champion"
PREVIOUS = "previous"
ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>[0-9]+))")
# The storage folder where commands look unless they are told.
USUAL_STORAGE = Path("runs")

OBJECTIVE = "wav2pix.objective"
VALUE = "wav2pix.value"
DATA_HASH = "wav2pix.data_hash"
SWEEP_ID = "wav2pix.sweep_id"
TRIAL = "wav2pix.trial"
EPOCH = "wav2pix.epoch"


@dataclass(frozen=True)
class Registration:
    """What came of registering.

    Attributes:
        version: that is the champion now; None: the registry could not be asked.
        is_new: whether it is this export that became champion just now.
        text: the same for a person.
    """

    name: str
    version: int | None
    is_new: bool
    text: str


def model_name(sweep: str) -> str:
    """The registered name of a sweep's model."""
    return f"wav2pix-{sweep}"


def register(result: Result, export: Export) -> Registration:
    """Make an export the champion of its sweep, if it is better than the one there; safe to call again.

    Says what kept it from being registered, rather than raise it: the export is whole without.
    """
    name = model_name(result.spec.name)
    try:
        # Two at once would both beat the champion of before, and the last one would stay.
        with hold(result.folder.registry_lock, f"the registry of '{result.spec.name}'", wait_s=LOCK_WAIT_S):
            return _register(result, export, name)
    except (TrackingError, SweepError, OSError) as error:
        text = f"warning: {name} is not registered: {error}. The export itself is complete; do it again later"
        return Registration(name, None, False, text)


def fetch(address: str, to: Path) -> Path:
    """Download a registered model; what ``wav2pix generate --model models:/NAME@champion`` does.

    Args:
        address: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        to: folder for it.

    Returns:
        The folder of the exported model.

    Raises:
        TrackingError: there is no server, or no such model.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise TrackingError(f"{address}: write models:/NAME@{CHAMPION} or models:/NAME/VERSION")
    registry = _registry(_usual_uri(address))
    version = registry.at(match["name"], match["alias"] or match["number"])
    if version is None:
        which = f"alias '{match['alias']}'" if match["alias"] else f"version {match['number']}"
        raise TrackingError(
            f"{address}: {without_secrets(registry.uri)} has no model '{match['name']}' with {which}; "
            "its models are on the page 'Models' of MLflow, and `wav2pix sweep export` registers one"
        )
    return registry.fetch(version, to)


def compared(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Why a version does not take the place of the champion; an empty text: it is better.

    Args:
        ours: tags of the version.
        theirs: tags of the champion.
    """
    for key, what in {DATA_HASH: "data set", OBJECTIVE: "objective"}.items():
        if ours[key] != theirs.get(key):
            return (
                f"its {what} is another ({theirs.get(key, 'unknown')}, here {ours[key]}), so they do not "
                f"compare; remove the alias '{CHAMPION}' in MLflow to begin anew"
            )
    goals = [_objective(text) for text in ours[OBJECTIVE].split(", ")]
    new, old = _numbers(ours[VALUE]), _numbers(theirs.get(VALUE, ""))
    if len(old) != len(goals):
        return f"its tag {VALUE} is no value; remove the alias '{CHAMPION}' in MLflow to begin anew"
    pairs = list(zip(goals, new, old, strict=True))
    if any(goal.better(before, now) for goal, now, before in pairs):
        return _worse(pairs)
    if not any(goal.better(now, before) for goal, now, before in pairs):
        return f"this one is as good, not better: {ours[OBJECTIVE]} {ours[VALUE]}"
    return ""


def _register(result: Result, export: Export, name: str) -> Registration:
    record = SweepRecord.load(result.folder)
    storage = Storage(result.folder.root.parent)
    registry = _registry(tracking_target(record.tracking_uri, storage, result.spec.name, record.sweep_id).uri)
    tags = _tags(record, export)
    champion = registry.at(name, CHAMPION)
    about = f"trial {export.record.number}, epoch {export.record.progress.epoch}"
    if champion is not None:
        if all(champion.tags.get(key) == tags[key] for key in (SWEEP_ID, TRIAL, EPOCH, VALUE)):
            return Registration(name, champion.number, False, f"{_place(name, champion)} is {about} already")
        if reason := compared(tags, champion.tags):
            text = f"{_place(name, champion)} stays: {reason}"
            return Registration(name, champion.number, False, text)
    run_id = registry.run_of(result.spec.name, record.sweep_id, export.record.number)
    if run_id is None:
        sync = f"`wav2pix sweep sync {result.spec.name}` sends what waits"
        store = without_secrets(registry.uri)
        raise TrackingError(f"{store} has no run of trial {export.record.number} yet ({sync})")
    version = _add(registry, name, run_id, export, tags)
    _promote(registry, name, version, champion)
    text = f"{_place(name, version)} is {about} now"
    if champion is not None:
        text += f"; before it was version {champion.number}, which is '{PREVIOUS}'"
    return Registration(name, version.number, True, text)


def _add(registry: ModelRegistry, name: str, run_id: str, export: Export, tags: Mapping[str, str]) -> Version:
    from orchestration.tracking.models import save_model  # noqa: PLC0415 - imports mlflow

    with tempfile.TemporaryDirectory(prefix="wav2pix-") as temporary:
        folder = Path(temporary)
        # MLflow names the data like the folder, which is called as somebody liked.
        (folder / "export").symlink_to(export.folder.absolute())
        save_model(folder / "export", folder / "model")
        path = f"export/epoch-{export.record.progress.epoch:04d}"
        description = card(export.facts, f"models:/{name}@{CHAMPION}")
        return registry.add(name, run_id, folder / "model", path, tags, description)


def _promote(registry: ModelRegistry, name: str, version: Version, champion: Version | None) -> None:
    """In this order, so that whoever is killed in between only has to do it again."""
    if champion is not None and champion.number != version.number:
        registry.set_alias(name, PREVIOUS, champion)
    registry.set_alias(name, CHAMPION, version)


def _tags(record: SweepRecord, export: Export) -> dict[str, str]:
    return {
        OBJECTIVE: ", ".join(export.facts["objective"]),
        VALUE: ", ".join(repr(value) for value in export.record.progress.values),
        DATA_HASH: record.data_hash,
        "wav2pix.sweep": record.spec.name,
        SWEEP_ID: record.sweep_id,
        TRIAL: trial_name(export.record.number),
        EPOCH: str(export.record.progress.epoch),
    }


def _usual_uri(address: str) -> str:
    """The tracking store of the environment or the defaults, else the embedded one of this folder."""
    if uri := tracking_uri(None):
        return uri
    database = Storage(USUAL_STORAGE).database.absolute()
    if not database.is_file():
        raise TrackingError(
            f"{address}: no tracking store is known: set MLFLOW_TRACKING_URI, "
            f"or go to the folder that holds {Storage(USUAL_STORAGE).database}"
        )
    return f"sqlite:///{database}"


def _registry(uri: str) -> ModelRegistry:
    from orchestration.tracking.models import ModelRegistry  # noqa: PLC0415 - imports mlflow

    database = database_of(uri)
    # MLflow would make it.
    if database is not None and not database.is_file():
        raise TrackingError(f"there is no tracking store {database}")
    return ModelRegistry(uri)


def _place(name: str, version: Version) -> str:
    return f"models:/{name}@{CHAMPION} (version {version.number})"


def _objective(text: str) -> Objective:
    direction, _, metric = text.partition(" ")
    return Objective.model_validate({"direction": direction, "metric": metric})


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(", ")]
    except ValueError:
        return []


def _worse(pairs: Sequence[tuple[Objective, float, float]]) -> str:
    """With several objectives, one may be better while another is worse."""
    parts = [f"{goal.metric} {now:.6g}, the champion's is {before:.6g}" for goal, now, before in pairs]
    better = any(goal.better(now, before) for goal, now, before in pairs)
    return f"{'neither beats the other' if better else 'this one is worse'}: {'; '.join(parts)}"
