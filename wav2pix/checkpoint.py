"""Checkpoints: everything that training changes, in files that load without running anybody's code.

A checkpoint is a folder of four files::

    model.safetensors     weights for inference: the moving average where there is one
    model.json            configuration, identities, hash of the data set, epoch, metrics
    training.safetensors  live weights, discriminator, Adam's moments, torch's random state
    training.json         step, Adam's hyperparameters, random state of Python and NumPy

The first two alone are an exported model. A run folder holds checkpoints as ``checkpoints/epoch-0007``.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wav2pix.config import TrainConfig, parse_config
from wav2pix.errors import CheckpointError, ConfigError
from wav2pix.files import new_folder
from wav2pix.models import Wav2Pix
from wav2pix.runtime import resolve_device

if TYPE_CHECKING:
    from wav2pix.train import State

FORMAT = 1
MODEL_FILES = ("model.safetensors", "model.json")
# A run may go on with these changed: they do not change what was learned so far.
FREE_SETTINGS = ("epochs", "runtime", "evaluation")


@dataclass(frozen=True)
class ModelInfo:
    """What ``model.json`` says of the weights beside it."""

    config: TrainConfig
    identities: tuple[str, ...]
    data_hash: str
    epoch: int
    metrics: dict[str, float]


def save(folder: Path, state: State, metrics: Mapping[str, float], data_hash: str) -> None:
    """Write a checkpoint folder atomically; an older one there is replaced."""
    tensors = _named("discriminator", state.discriminator.state_dict())
    if state.average is not None:
        tensors |= _named("model", state.model.state_dict())
    for name, optimizer in _optimizers(state).items():
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= _named(f"{name}.{index}", moments)
    tensors["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    training = {
        "format": FORMAT,
        "step": state.step,
        "optimizers": {
            name: optimizer.state_dict()["param_groups"] for name, optimizer in _optimizers(state).items()
        },
        "random": {"python": random.getstate(), "numpy": state.rng.bit_generator.state},
    }
    info = ModelInfo(state.model.config, state.model.identities, data_hash, state.epoch, dict(metrics))
    with new_folder(folder) as temporary:
        write_model(temporary, state.inference_model, info)
        save_file(tensors, temporary / "training.safetensors")
        _write_json(temporary / "training.json", training)


def restore(folder: Path, state: State) -> None:
    """Put a checkpoint back into a state of the same configuration, random numbers included.

    Raises:
        CheckpointError: a file is missing or damaged, or the checkpoint is of another configuration; the
            message lists what differs.
    """
    folder = find_checkpoint(folder)
    info = read_info(folder)
    _require_same_config(folder, info, state.model)
    weights = _read_tensors(folder / "model.safetensors")
    tensors = _read_tensors(folder / "training.safetensors")
    training = _read_json(folder / "training.json")
    source = folder / "training.safetensors"
    load_strictly(state.inference_model, weights, folder / "model.safetensors")
    if state.average is not None:
        load_strictly(state.model, _under("model", tensors), source)
    load_strictly(state.discriminator, _under("discriminator", tensors), source)
    for name, optimizer in _optimizers(state).items():
        _restore_optimizer(optimizer, _under(name, tensors), training["optimizers"][name])
    version, internal, gauss = training["random"]["python"]
    random.setstate((version, tuple(internal), gauss))
    state.rng.bit_generator.state = training["random"]["numpy"]
    torch.set_rng_state(tensors["random.torch"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    state.epoch = info.epoch
    state.step = training["step"]


def load_model(path: Path, device: str = "cpu") -> Wav2Pix:
    """The model of an export, a checkpoint or the newest checkpoint of a run folder, in eval mode.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    folder = find_checkpoint(path)
    info = read_info(folder)
    model = Wav2Pix(info.config, info.identities)
    load_strictly(model, _read_tensors(folder / "model.safetensors"), folder / "model.safetensors")
    return model.to(resolve_device(device)).eval()


def export_model(checkpoint: Path, out: Path) -> None:
    """Copy what inference needs, and nothing else, to the folder ``out``."""
    folder = find_checkpoint(checkpoint)
    read_info(folder)
    with new_folder(out) as temporary:
        for name in MODEL_FILES:
            shutil.copyfile(folder / name, temporary / name)


def find_checkpoint(path: Path) -> Path:
    """The folder with ``model.json``: ``path`` itself, or the newest of ``path/checkpoints``.

    Raises:
        CheckpointError: neither is there.
    """
    if (path / "model.json").is_file():
        return path
    newest = sorted(path.glob("checkpoints/epoch-*/model.json"))
    if newest:
        return newest[-1].parent
    what = "no such folder" if not path.exists() else "no model.json and no checkpoints/epoch-* in it"
    raise CheckpointError(f"{path}: {what}; give a run, a checkpoint or an exported model")


def checkpoint_folder(run: Path, epoch: int) -> Path:
    """Where a run keeps the checkpoint of an epoch."""
    return run / "checkpoints" / f"epoch-{epoch:04d}"


def read_info(folder: Path) -> ModelInfo:
    """Read ``model.json``.

    Raises:
        CheckpointError: it is missing, damaged or of another version.
    """
    tree = _read_json(folder / "model.json")
    if tree.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / 'model.json'}: format {tree.get('format')}; this version reads format {FORMAT}"
        )
    try:
        return ModelInfo(
            config=parse_config(tree["config"]),
            identities=tuple(tree["identities"]),
            data_hash=tree["data_hash"],
            epoch=tree["epoch"],
            metrics=tree["metrics"],
        )
    except (KeyError, ConfigError) as error:
        raise CheckpointError(f"{folder / 'model.json'}: {error}") from None


def write_model(folder: Path, model: Wav2Pix, info: ModelInfo) -> None:
    """Write the two files of an exported model into an existing folder."""
    save_file(_named("", model.state_dict()), folder / "model.safetensors")
    _write_json(
        folder / "model.json",
        {
            "format": FORMAT,
            "config": info.config.model_dump(mode="json"),
            "identities": info.identities,
            "data_hash": info.data_hash,
            "epoch": info.epoch,
            "metrics": info.metrics,
        },
    )


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Load every tensor of a module and no other.

    Raises:
        CheckpointError: names or shapes differ; the message lists the first of them.
    """
    expected = module.state_dict()
    problems = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{name} is not part of the model" for name in tensors.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} and should be {tuple(value.shape)}"
        for name, value in expected.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{source} does not fit the model: {'; '.join(sorted(problems)[:5])}{more}")
    module.load_state_dict(tensors)


def _optimizers(state: State) -> dict[str, torch.optim.Optimizer]:
    return {
        "optimizer_generator": state.optimizer_generator,
        "optimizer_discriminator": state.optimizer_discriminator,
    }


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Adam's moments take the memory layout of their parameter: the fused kernel walks both in step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".")
        like = parameters[int(index)]
        moment = value if key == "step" else torch.empty_like(like).copy_(value)
        state.setdefault(int(index), {})[key] = moment
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _require_same_config(folder: Path, info: ModelInfo, model: Wav2Pix) -> None:
    ours, theirs = _flat(model.config.model_dump(mode="json")), _flat(info.config.model_dump(mode="json"))
    differing = [
        f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and key.split(".")[0] not in FREE_SETTINGS
    ]
    if info.identities != model.identities:
        differing.append(f"identities are {', '.join(info.identities)} there")
    if differing:
        raise CheckpointError(f"{folder} is of another configuration: {'; '.join(differing[:8])}")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU in plain layout, as safetensors wants them."""
    start = f"{prefix}." if prefix else ""
    return {f"{start}{name}": value.detach().cpu().contiguous() for name, value in tensors.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): value
        for name, value in tensors.items()
        if name.startswith(f"{prefix}.")
    }


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; the checkpoint is incomplete") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}; use an older checkpoint") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; the checkpoint is incomplete") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}; use an older checkpoint") from None
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path} is damaged: not an object; use an older checkpoint")
    return tree


def _write_json(path: Path, tree: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
