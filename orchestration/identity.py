"""What a sweep is: a hash of all that changes its results, kept in its folder with the spec."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.errors import SweepError
from orchestration.folders import SweepFolder
from orchestration.spec import SweepSpec
from wav2pix.config import make_config
from wav2pix.files import write_atomically

_FIELDS = ("search", "sampler", "scheduler", "start_with", "seed", "epochs")


@dataclass(frozen=True)
class SweepRecord:
    """What ``sweep.json`` holds.

    Attributes:
        sweep_id: random; tells this sweep from others of its name.
        spec: as it was when the sweep last ran.
        data_hash: of the data set.
        tracking_uri: where its runs are; None in the storage folder.
        identity: everything that changes results, by dotted key.
        tracked: whether its run is there; until then it may be tracked elsewhere.
    """

    sweep_id: str
    spec: SweepSpec
    data_hash: str
    tracking_uri: str | None
    identity: Mapping[str, Any]
    tracked: bool = False

    def save(self, folder: SweepFolder) -> None:
        """Write it."""
        tree = {
            "sweep_id": self.sweep_id,
            "hash": digest(self.identity),
            "data_hash": self.data_hash,
            "tracking_uri": self.tracking_uri,
            "tracked": self.tracked,
            "spec": self.spec.model_dump(mode="json"),
            "identity": dict(self.identity),
        }
        write_atomically(folder.record, json.dumps(tree, indent=2).encode())

    @classmethod
    def load(cls, folder: SweepFolder) -> SweepRecord:
        """Read it.

        Raises:
            SweepError: there is no sweep in the folder, or another version wrote it.
        """
        try:
            tree = json.loads(folder.record.read_text())
            spec = SweepSpec.model_validate(tree["spec"])
            return cls(
                tree["sweep_id"],
                spec,
                tree["data_hash"],
                tree["tracking_uri"],
                tree["identity"],
                tree["tracked"],
            )
        except FileNotFoundError:
            raise SweepError(
                f"no sweep '{folder.name}' in {folder.root.parent}; see `wav2pix sweep list`"
            ) from None
        except (KeyError, ValueError) as error:
            raise SweepError(f"{folder.record} cannot be read: {error}") from None


def identity_of(spec: SweepSpec, data_hash: str) -> dict[str, Any]:
    """Everything that changes results, by dotted key: the spec's part, the preset as it is, the data."""
    dumped = spec.model_dump(mode="json")
    tree = {key: dumped[key] for key in _FIELDS}
    tree["objectives"] = [goal.model_dump() for goal in spec.goals]
    tree["settings"] = {
        key: value for key, value in dumped["settings"].items() if not key.startswith("runtime.")
    }
    # A preset that a newer version defines otherwise makes another sweep of the same file.
    preset = make_config(spec.preset).model_dump(mode="json", exclude={"runtime", "epochs", "seed"})
    # As it will be read back, so that a tuple is no difference.
    flat: dict[str, Any] = json.loads(json.dumps(_flat(tree | {"preset": preset, "data": data_hash})))
    return flat


def claim(folder: SweepFolder, spec: SweepSpec, data_hash: str, tracking_uri: str | None) -> SweepRecord:
    """Begin the sweep in a folder, or go on with the one there.

    Raises:
        SweepError: it is another sweep; the message names what differs.
    """
    old = same_sweep(folder, spec, data_hash, tracking_uri)
    sweep_id = old.sweep_id if old else secrets.token_hex(8)
    tracked = old is not None and old.tracked
    record = SweepRecord(sweep_id, spec, data_hash, tracking_uri, identity_of(spec, data_hash), tracked)
    if record != old:
        record.save(folder)
    return record


def same_sweep(
    folder: SweepFolder, spec: SweepSpec, data_hash: str, tracking_uri: str | None
) -> SweepRecord | None:
    """The record of this very sweep; None if there is none in the folder.

    Raises:
        SweepError: there is another sweep; the message names what differs.
    """
    if not folder.record.is_file():
        return None
    old = SweepRecord.load(folder)
    differing = _differences(old.identity, identity_of(spec, data_hash))
    if old.tracked and old.tracking_uri != tracking_uri:
        here, there = (uri or "the storage folder" for uri in (tracking_uri, old.tracking_uri))
        differing.append(f"tracking is in {there} there and in {here} here")
    here, there = (bucket_of(each) for each in (spec, old.spec))
    if here != there:
        differing.append(f"checkpoints are in {there} there and in {here} here")
    if differing:
        raise SweepError(
            f"{folder.root} holds a sweep '{spec.name}' of other settings: {'; '.join(differing[:8])}. "
            "Undo the change to continue it, or choose another name for a new sweep"
        )
    return old


def bucket_of(spec: SweepSpec) -> str:
    """Where checkpoints go, for a person."""
    return (spec.artifacts and spec.artifacts.uri) or "the sweep's folder"


def digest(identity: Mapping[str, Any]) -> str:
    """SHA-256 of an identity."""
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} is {old.get(key, 'not there')} there and {new.get(key, 'not there')} here"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {prefix.rstrip("."): tree}
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.")
    return flat
