"""Every setting of a training run, as frozen models: one per component, nested in :class:`TrainConfig`.

A run is described by a preset and the settings that differ from it::

    config = make_config("small", {"optimizer.lr_generator": 2e-4, "epochs": 20})

The three presets are one model at three points: ``paper`` is the network and the losses of Duarte et al.,
"Wav2Pix: Speech-conditioned Face Generation using Generative Adversarial Networks" (ICASSP 2019); ``modern``
repairs what is known to be wrong with it; ``small`` is ``modern`` sized for two CPU cores.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from wav2pix.errors import ConfigError

PresetName = Literal["paper", "modern", "small"]


class Settings(BaseModel):
    """Base of every group of settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SeganEncoderConfig(Settings):
    """The encoder of the paper: SEGAN's discriminator, flattened into three linear layers."""

    type: Literal["segan"] = "segan"


class PooledEncoderConfig(Settings):
    """Strided convolutions pooled to mean and standard deviation over time: any length of speech."""

    type: Literal["pooled"] = "pooled"
    channels: tuple[int, ...] = Field((32, 64, 128, 256, 256, 256), min_length=2)
    norm: float = Field(8.0, gt=0, description="length of the embedding vector")


class TransposedGeneratorConfig(Settings):
    """The generator of the paper: spectral-norm transposed convolutions, dropout, ReLU."""

    type: Literal["transposed"] = "transposed"
    dropout: float = Field(0.5, ge=0, lt=1)


class UpsamplingGeneratorConfig(Settings):
    """Nearest-neighbour upsampling and 3x3 convolutions, which leave no checkerboard (Odena et al., 2016)."""

    type: Literal["upsampling"] = "upsampling"
    channels: tuple[int, ...] = Field(
        (512, 512, 256, 128, 64, 32), min_length=2, description="from 4x4 upwards"
    )
    noise_size: int = Field(0, ge=0, description="length of a noise vector appended to the embedding; 0: none")


class ConcatenationDiscriminatorConfig(Settings):
    """The discriminator of the paper: the embedding is tiled and concatenated before one last convolution."""

    type: Literal["concatenation"] = "concatenation"
    channels: tuple[int, ...] | None = Field(
        None, min_length=2, description="each halves the size, down to 4x4; without them the paper's"
    )


class ProjectionDiscriminatorConfig(Settings):
    """Inner product of face and speech features (Miyato and Koyama, 2018): it can judge a match."""

    type: Literal["projection"] = "projection"
    channels: tuple[int, ...] = Field(
        (64, 128, 256, 512, 512), min_length=2, description="each halves the size, down to 4x4 at most"
    )


class IdentityHeadConfig(Settings):
    """Classifier of identities on the speech embedding."""

    hidden: int = Field(0, ge=0, description="units of the hidden layer with BatchNorm; 0: a linear classifier")


class LossConfig(Settings):
    """Adversarial form and the weight of each term of the generator's loss."""

    adversarial: Literal["least_squares", "hinge"] = "hinge"
    real_label: float = Field(1.0, gt=0, le=1, description="target for real pairs, least squares only")
    adversarial_weight: float = Field(1.0, ge=0)
    wrong_weight: float = Field(1.0, ge=0, description="real faces of another identity, in the discriminator")
    feature_matching: float = Field(0.0, ge=0)
    l1: float = Field(10.0, ge=0)
    identity: float = Field(1.0, ge=0)
    r1: float = Field(0.0, ge=0, description="gradient penalty on real pairs (Mescheder et al., 2018)")


class OptimizerConfig(Settings):
    """Adam for each of the two networks."""

    lr_generator: float = Field(1e-4, gt=0)
    lr_discriminator: float = Field(4e-4, gt=0)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)


class AugmentConfig(Settings):
    """Augmentation of speech, and DiffAugment of all that the discriminator sees (Zhao et al., 2020)."""

    translation: float = Field(0.125, ge=0, lt=1, description="largest shift, as a share of the picture")
    colour: float = Field(1.0, ge=0, le=1, description="strength of brightness, saturation and contrast")
    cutout: float = Field(0.5, ge=0, lt=1, description="side of the erased square, as a share of the picture")
    flip: bool = Field(True, description="mirror half of the faces that the discriminator sees")
    speech_shift: bool = Field(True, description="rotate each window of speech by a random time")
    speech_swap: float = Field(
        0.0, ge=0, le=1, description="share of faces that are paired with other speech of their speaker"
    )


class EmaConfig(Settings):
    """Moving average of the generator, used for evaluation and export."""

    decay: float = Field(0.999, ge=0, lt=1)


class RuntimeConfig(Settings):
    """How a run is computed: nothing here is meant to change its result."""

    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    fused_adam: bool = True
    compile: bool = Field(False, description="torch.compile the networks (CUDA)")
    num_threads: int = Field(0, ge=0, description="CPU threads of torch; 0: torch's own choice")


class EvaluationConfig(Settings):
    """What is measured at the end of an epoch."""

    every: int = Field(1, ge=1, description="epochs between evaluations; the last is always evaluated")
    max_pairs: int = Field(1024, ge=8, description="pairs of the held-out split that are looked at")
    lengths: tuple[Annotated[float, Field(ge=0.3, le=4)], ...] = Field((), description="more seconds of speech")
    costly: tuple[Literal["detection_rate", "fid"], ...] = Field((), description="measures that take longer")


EncoderConfig = Annotated[SeganEncoderConfig | PooledEncoderConfig, Field(discriminator="type")]
GeneratorConfig = Annotated[TransposedGeneratorConfig | UpsamplingGeneratorConfig, Field(discriminator="type")]
DiscriminatorConfig = Annotated[
    ConcatenationDiscriminatorConfig | ProjectionDiscriminatorConfig, Field(discriminator="type")
]
# The same names are the same run, in whatever order they were typed.
Names = Annotated[tuple[str, ...], AfterValidator(lambda names: tuple(sorted(set(names))))]


class TrainConfig(Settings):
    """Everything that a training run needs to know besides its data."""

    preset: PresetName
    seed: int = Field(0, ge=0)
    epochs: int = Field(200, ge=1)
    batch_size: int = Field(64, ge=2)
    image_size: Literal[64, 128] = 128
    speech_window_s: float = Field(1.0, ge=0.3, le=4.0)
    speech_quantisation: Literal["none", "one_bit"] = "none"
    speech_preemphasis: float = Field(0.95, ge=0, lt=1)
    embedding_size: int = Field(128, ge=1)
    hold_out_identities: Names = Field((), description="speakers that are not learned")
    encoder: EncoderConfig = PooledEncoderConfig()
    generator: GeneratorConfig = UpsamplingGeneratorConfig()
    discriminator: DiscriminatorConfig = ProjectionDiscriminatorConfig()
    identity_head: IdentityHeadConfig = IdentityHeadConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    augment: AugmentConfig | None = AugmentConfig()
    ema: EmaConfig | None = EmaConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()


_PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "encoder": {"type": "segan"},
        "generator": {"type": "transposed"},
        "discriminator": {"type": "concatenation"},
        "identity_head": {"hidden": 200},
        "loss": {
            "adversarial": "least_squares",
            "real_label": 0.9,
            "feature_matching": 100.0,
            "l1": 50.0,
            "identity": 20.0,
        },
        "augment": None,
        "ema": None,
    },
    "modern": {},
    "small": {
        "image_size": 64,
        "batch_size": 32,
        "epochs": 20,
        "encoder": {"type": "pooled", "channels": (16, 32, 64, 128, 128, 128)},
        "generator": {"type": "upsampling", "channels": (256, 192, 128, 64, 24)},
        "discriminator": {"type": "projection", "channels": (32, 64, 96, 128)},
        "optimizer": {"lr_generator": 5e-4, "lr_discriminator": 1e-3},
        "augment": {"cutout": 0.0, "speech_swap": 0.25},
        "ema": {"decay": 0.995},
    },
}


def make_config(preset: str, settings: Mapping[str, Any] | None = None) -> TrainConfig:
    """The preset with some settings changed.

    Args:
        preset: ``paper``, ``modern`` or ``small``.
        settings: values by dotted path. Setting the ``type`` of a component replaces the component with
            the defaults of the new type; its other settings are applied after that.

    Raises:
        ConfigError: no such preset, no such setting, or a value out of range.
    """
    if preset not in _PRESETS:
        raise ConfigError("preset", f"no preset '{preset}'; there are {', '.join(_PRESETS)}")
    tree: dict[str, Any] = {"preset": preset} | _PRESETS[preset]
    tree = TrainConfig.model_validate(tree).model_dump(mode="json")
    known = setting_paths()
    for path in sorted(settings or {}, key=lambda path: not path.endswith(".type")):
        if path not in known:
            raise ConfigError(path, unknown_setting(path))
        _set(tree, path.split("."), (settings or {})[path])
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> TrainConfig:
    """The configuration that ``TrainConfig.model_dump`` wrote, checked.

    Raises:
        ConfigError: for the first setting that does not fit.
    """
    try:
        return TrainConfig.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        tags = {"segan", "pooled", "transposed", "upsampling", "concatenation", "projection"}
        path = ".".join(str(part) for part in first["loc"] if part not in tags)
        if first["type"] == "extra_forbidden":
            raise ConfigError(path, unknown_setting(path)) from None
        raise ConfigError(path, f"'{path}' cannot be {first['input']!r}: {first['msg'].lower()}") from None


def setting_paths() -> dict[str, Any]:
    """Every setting by dotted path, with the annotation of its type."""
    return dict(_walk(TrainConfig, ""))


def unknown_setting(path: str) -> str:
    """The message for a setting that does not exist, with the closest one that does."""
    known = list(setting_paths())
    if path in known:
        group, name = path.rsplit(".", 1)
        return f"the chosen {group}.type has no setting '{name}'"
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.6)
    if not close:
        leaf = path.rsplit(".", 1)[-1]
        close = [name for name in known if name.rsplit(".", 1)[-1] == leaf][:1]
    return f"no setting '{path}'" + (f"; did you mean '{close[0]}'?" if close else "")


def _walk(model: type[Settings], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        groups = [kind for kind in _members(field.annotation) if _is_settings(kind)]
        for group in groups:
            yield from _walk(group, f"{prefix}{name}.")
        if not groups or type(None) in _members(field.annotation):
            yield f"{prefix}{name}", field.annotation


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Settings)


def _set(tree: dict[str, Any], path: list[str], value: Any) -> None:
    *groups, leaf = path
    for group in groups:
        if tree[group] is None:
            tree[group] = {}
        if leaf == "type" and tree[group].get("type") != value:
            tree[group] = {}
        tree = tree[group]
    tree[leaf] = value
