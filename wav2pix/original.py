"""State dicts of the original repository, read into this one's networks.

The original names its tensors by their place in nested ``nn.Sequential`` and keeps the kernel of a convolution
as (rows, channels, kernel_y, kernel_x) where this one keeps (rows, kernel_y, kernel_x, channels). It takes one
step of the power iteration before every use of a spectral-norm weight, in eval mode too; here that step is
taken once, on import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from wav2pix import checkpoint
from wav2pix.config import TrainConfig, make_config
from wav2pix.errors import CheckpointError, ConfigError
from wav2pix.files import new_folder
from wav2pix.models import Wav2Pix, build_discriminator
from wav2pix.models.paper import ConcatenationDiscriminator
from wav2pix.models.spectral import SpectralWeight
from wav2pix.runtime import Runtime
from wav2pix.train import new_state

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_SPECTRAL = {"weight": "weight_bar", "u": "weight_u", "v": "weight_v"}
_GENERATOR = {
    64: ("netG.0", "netG.3.0", "netG.3.3", "netG.3.6", "netG.3.9"),
    128: ("netG.0", "netG.3", "netG.6.0", "netG.6.3", "netG.6.6", "netG.6.9"),
}
_DISCRIMINATOR = {
    64: ("netD_1.0", "netD_1.2", "netD_1.4", "netD_1.6"),
    128: ("netD_1.0.0", "netD_1.0.2", "netD_1.0.4", "netD_1.0.6", "netD_1.1"),
}
# Seconds of speech that the paper reports for sizes of the flattened speech; others get 0.25 s for each place.
_PUBLISHED_S = {1: 0.3, 3: 0.7, 4: 1.0}


@dataclass(frozen=True)
class Original:
    """What was imported: the generator's side in eval mode and, if it was given, the discriminator."""

    model: Wav2Pix
    discriminator: ConcatenationDiscriminator | None


@dataclass(frozen=True)
class _Source:
    """Where a tensor of ours comes from: its name there, its shape there, and the way from there to here."""

    name: str
    shape: tuple[int, ...]
    convert: Callable[[Tensor], Tensor]


def import_original(
    generator: Path,
    discriminator: Path | None,
    out: Path,
    identities: Sequence[str] | None = None,
    speech_quantisation: Literal["none", "one_bit"] = "one_bit",
) -> Original:
    """Read state dicts of the original and write a folder that :func:`wav2pix.checkpoint.load_model` reads.

    With a discriminator the folder is a checkpoint of epoch 0, from which training can resume.

    Args:
        generator, discriminator, identities, speech_quantisation: as :func:`read_original` takes them.
        out: folder to write; an older one there is replaced.

    Raises:
        CheckpointError: as :func:`read_original`.
    """
    original = read_original(generator, discriminator, identities, speech_quantisation)
    model = original.model
    if original.discriminator is None:
        info = checkpoint.ModelInfo(model.config, model.identities, data_hash="", epoch=0, metrics={})
        with new_folder(out) as temporary:
            checkpoint.write_model(temporary, model, info)
    else:
        state = new_state(model.config, model.identities, Runtime.of(model.config.runtime))
        state.model.load_state_dict(model.state_dict())
        state.discriminator.load_state_dict(original.discriminator.state_dict())
        checkpoint.save(out, state, metrics={}, data_hash="")
    return original


def read_original(
    generator: Path,
    discriminator: Path | None = None,
    identities: Sequence[str] | None = None,
    speech_quantisation: Literal["none", "one_bit"] = "one_bit",
) -> Original:
    """Read state dicts of the original: image size, length of speech and number of identities are their own.

    Args:
        generator: state dict of the original's generator, which holds the speech encoder and the classifier.
        discriminator: state dict of its discriminator, of the same image size.
        identities: names of the classes in order; the original keeps none.
        speech_quantisation: how the weights heard speech in training; the original's integer division
            by the peak is ``one_bit``.

    Raises:
        CheckpointError: a file cannot be read, or a tensor is missing, unknown or of another shape.
    """
    tensors = load_state_dict_file(generator)
    config = _config_of(tensors, generator, speech_quantisation)
    num_identities = _size(tensors, "aux_classifier.net.3.weight", 0, generator)
    names = tuple(identities or (f"identity_{index:02d}" for index in range(num_identities)))
    if len(names) != num_identities:
        raise CheckpointError(f"{generator} knows {num_identities} identities; {len(names)} names were given")
    model = Wav2Pix(config, names)
    _fill(model, _generator_sources(model), tensors, generator)
    if discriminator is None:
        return Original(model.eval(), None)
    judge = build_discriminator(config)
    assert isinstance(judge, ConcatenationDiscriminator)
    _fill(judge, _discriminator_sources(judge, config), load_state_dict_file(discriminator), discriminator)
    return Original(model.eval(), judge.eval())


def load_state_dict_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` file by name, on the CPU; no code that it may hold is run.

    Raises:
        CheckpointError: the file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever its parser stumbles over in a file from outside
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise CheckpointError(f"{path} is not a state dict saved by torch, or is damaged: {reason}") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise CheckpointError(f"{path} holds more than a state dict; save model.state_dict() alone")
    return {str(name): value for name, value in tensors.items()}


def _config_of(
    tensors: Mapping[str, Tensor], path: Path, speech_quantisation: Literal["none", "one_bit"]
) -> TrainConfig:
    sizes = [size for size, layers in _GENERATOR.items() if f"{layers[1]}.module.weight_bar" in tensors]
    if len(sizes) != 1:
        both = " or ".join(f"{layers[1]}.module.weight_bar" for layers in _GENERATOR.values())
        raise CheckpointError(f"{path} is not a generator of the original: it should have one tensor {both}")
    places = _size(tensors, "audio_embedding.fc.0.weight", 1, path) // 1024
    settings = {
        "image_size": sizes[0],
        "speech_window_s": _PUBLISHED_S.get(places, 0.25 * places),
        "speech_quantisation": speech_quantisation,
        "embedding_size": _size(tensors, "audio_embedding.fc.4.weight", 0, path),
        "identity_head.hidden": _size(tensors, "aux_classifier.net.0.weight", 0, path),
    }
    try:
        return make_config("paper", settings)
    except ConfigError as error:
        raise CheckpointError(f"{path} has sizes that no model here can have: {error}") from None


def _size(tensors: Mapping[str, Tensor], name: str, dimension: int, path: Path) -> int:
    if name not in tensors:
        raise CheckpointError(f"{path}: tensor {name} is missing")
    if tensors[name].dim() != 2:
        raise CheckpointError(f"{path}: tensor {name} is {tuple(tensors[name].shape)} and should be a matrix")
    return tensors[name].shape[dimension]


def _generator_sources(model: Wav2Pix) -> dict[str, _Source]:
    ours = model.state_dict()
    plain = {f"encoder.linear.{index}": f"audio_embedding.fc.{2 * index}" for index in range(3)}
    plain |= {f"identity_head.layers.{index}": f"aux_classifier.net.{index}" for index in (0, 3)}
    norms = {f"encoder.norms.{index}": f"audio_embedding.disc.{index}.bn" for index in range(6)}
    norms |= {f"identity_head.layers.{index}": f"aux_classifier.net.{index}" for index in (1, 4)}
    keys = [(f"{to}.{key}", f"{source}.{key}") for to, source in plain.items() for key in ("weight", "bias")]
    keys += [(f"{to}.{key}", f"{source}.{key}") for to, source in norms.items() for key in _NORM]
    keys += [
        (f"encoder.convolutions.{index}.bias", f"audio_embedding.disc.{index}.conv.bias") for index in range(6)
    ]
    sources = {to: _Source(name, tuple(ours[to].shape), _same) for to, name in keys}
    for index in range(6):
        to = f"encoder.convolutions.{index}.weight"
        rows, columns = ours[to].shape
        shape = (rows, columns // 15, 15)
        sources[to] = _Source(f"audio_embedding.disc.{index}.conv.weight", shape, _channels_last)
    for index, name in enumerate(_GENERATOR[model.config.image_size]):
        sources |= _spectral_sources(f"generator.layers.{index}", name, ours)
    return sources


def _discriminator_sources(judge: ConcatenationDiscriminator, config: TrainConfig) -> dict[str, _Source]:
    ours = judge.state_dict()
    sources: dict[str, _Source] = {}
    for index, name in enumerate(_DISCRIMINATOR[config.image_size]):
        sources |= _spectral_sources(f"layers.{index}", name, ours)
    faces, speech = ours["face_score"].shape[1], ours["speech_score"].shape[1]
    shape = (1, faces + speech, 4, 4)
    sources["face_score"] = _Source("netD_2.weight", shape, lambda kernel: _places(kernel[0, :faces]))
    sources["speech_score"] = _Source("netD_2.weight", shape, lambda kernel: _places(kernel[0, faces:]))
    return sources


def _spectral_sources(to: str, name: str, ours: Mapping[str, Tensor]) -> dict[str, _Source]:
    rows, columns = ours[f"{to}.weight"].shape
    shapes = {"weight": (rows, columns // 16, 4, 4), "u": (rows,), "v": (columns,)}
    ways = {"weight": _channels_last, "u": _same, "v": lambda v: _channels_last(v.view(1, -1, 4, 4))[0]}
    return {
        f"{to}.{key}": _Source(f"{name}.module.{there}", shapes[key], ways[key])
        for key, there in _SPECTRAL.items()
    }


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _channels_last(kernel: Tensor) -> Tensor:
    """(rows, channels, places ...) to (rows, places * channels)."""
    return kernel.movedim(1, -1).flatten(1)


def _places(kernel: Tensor) -> Tensor:
    """(channels, 4, 4) to (16, channels)."""
    return kernel.flatten(1).t()


def _fill(
    network: nn.Module, sources: Mapping[str, _Source], tensors: Mapping[str, Tensor], path: Path
) -> None:
    expected = {source.name: source.shape for source in sources.values()}
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is not part of the original" for name in tensors if name not in expected]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} and should be {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(f"{path} does not fit: {'; '.join(problems[:5])}{more}")
    network.load_state_dict({to: source.convert(tensors[source.name]) for to, source in sources.items()})
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, SpectralWeight):
                layer.train().norm()
