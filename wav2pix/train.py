"""Training: the state of a run, the two steps, and :func:`fit`, which yields an :class:`Epoch` at a time."""

from __future__ import annotations

import copy
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import get_total_norm

from wav2pix import checkpoint, losses
from wav2pix.augment import diff_augment, shift_speech
from wav2pix.batches import Batch, PairLoader
from wav2pix.config import TrainConfig
from wav2pix.data import Dataset
from wav2pix.errors import TrainingDiverged
from wav2pix.evaluation.epoch import measure_epoch
from wav2pix.evaluation.evaluate import check_lengths
from wav2pix.evaluation.judge import Judge, get_judge
from wav2pix.models import Wav2Pix, build_discriminator
from wav2pix.pictures import comparison_grid
from wav2pix.runtime import Runtime
from wav2pix.speakers import learned_identities

COLLAPSED_STD = 1e-4
# One that overflows ends no run: Adam divides by it.
GRADIENT_NORM = "grad_norm_"


@dataclass
class State:
    """All that training changes, and so all that a checkpoint holds."""

    model: Wav2Pix
    average: Wav2Pix | None
    discriminator: nn.Module
    optimizer_generator: torch.optim.Optimizer
    optimizer_discriminator: torch.optim.Optimizer
    rng: np.random.Generator
    epoch: int = 0
    step: int = 0

    @property
    def inference_model(self) -> Wav2Pix:
        """The moving average where there is one: what is evaluated and exported."""
        return self.average or self.model


def new_state(config: TrainConfig, identities: tuple[str, ...], runtime: Runtime) -> State:
    """A freshly initialised run; seeds every random number generator from ``config.seed``."""
    random.seed(config.seed)
    torch.manual_seed(config.seed)
    model = runtime.place(Wav2Pix(config, identities))
    discriminator = runtime.place(build_discriminator(config))
    average = copy.deepcopy(model).requires_grad_(False) if config.ema else None
    if runtime.compile:
        model.encoder.compile()
        model.generator.compile()
        if config.loss.r1 == 0:  # a penalty on a gradient needs a second derivative, which compiling loses
            discriminator.compile()
    betas = (config.optimizer.beta1, config.optimizer.beta2)
    return State(
        model=model,
        average=average,
        discriminator=discriminator,
        optimizer_generator=torch.optim.Adam(
            model.parameters(), config.optimizer.lr_generator, betas, fused=config.runtime.fused_adam
        ),
        optimizer_discriminator=torch.optim.Adam(
            discriminator.parameters(),
            config.optimizer.lr_discriminator,
            betas,
            fused=config.runtime.fused_adam,
        ),
        rng=np.random.default_rng(config.seed),
    )


def train_step(state: State, batch: Batch, runtime: Runtime) -> dict[str, Tensor]:
    """One update of each network; the generator runs once and serves both.

    Returns:
        Every loss term and score, and the norm of each network's gradient, as a scalar tensor on the device.
    """
    config = state.model.config
    augment = config.augment
    speech = batch.speech
    if augment and augment.speech_shift:
        speech = shift_speech(speech)
    with runtime.autocast():
        embedding = state.model.embed(speech)
        fake = state.model.generator(embedding)
    terms = discriminator_step(state, batch, fake.detach(), embedding.detach(), runtime)
    return terms | generator_step(state, batch, fake, embedding, runtime)


def discriminator_step(
    state: State, batch: Batch, fake: Tensor, embedding: Tensor, runtime: Runtime
) -> dict[str, Tensor]:
    """Teach the discriminator: real pairs up, generated and mismatched faces down, in one pass.

    Args:
        fake: (B, 3, S, S) generated faces and ``embedding`` (B, E), both detached.
    """
    config = state.model.config.loss
    real = batch.faces.requires_grad_(config.r1 > 0)
    with runtime.autocast():
        faces = diff_augment(torch.cat([real, batch.wrong_faces, fake]), state.model.config.augment)
        scores, _ = state.discriminator(faces, embedding.repeat(3, 1))
    real_score, wrong_score, fake_score = scores.float().chunk(3)
    terms = {
        "loss_real": losses.real_loss(real_score, config.adversarial, config.real_label),
        "loss_wrong": losses.fake_loss(wrong_score, config.adversarial),
        "loss_fake": losses.fake_loss(fake_score, config.adversarial),
    }
    loss = terms["loss_real"] + config.wrong_weight * terms["loss_wrong"] + terms["loss_fake"]
    if config.r1 > 0:
        terms["loss_r1"] = losses.r1_penalty(real_score, real)
        loss = loss + config.r1 * terms["loss_r1"]
    state.optimizer_discriminator.zero_grad(set_to_none=True)
    loss.backward()
    terms[f"{GRADIENT_NORM}discriminator"] = gradient_norm(state.optimizer_discriminator)
    state.optimizer_discriminator.step()
    scores_by_kind = {"real": real_score, "wrong": wrong_score, "fake": fake_score}
    terms |= {f"score_{kind}": score.mean() for kind, score in scores_by_kind.items()}
    return {"loss_discriminator": loss} | terms


def generator_step(
    state: State,
    batch: Batch,
    fake: Tensor,
    embedding: Tensor,
    runtime: Runtime,
) -> dict[str, Tensor]:
    """Teach encoder, generator and identity head: fool the discriminator, match the face, name the speaker."""
    config = state.model.config.loss
    state.discriminator.requires_grad_(False)
    with runtime.autocast():
        score, features = state.discriminator(diff_augment(fake, state.model.config.augment), embedding)
        logits = state.model.identity_head(embedding)
    terms = {
        "loss_adversarial": losses.adversarial_loss(score.float(), config.adversarial),
        "loss_l1": F.l1_loss(fake.float(), batch.faces),
        "loss_identity": F.cross_entropy(logits.float(), batch.identities),
    }
    loss = (
        config.adversarial_weight * terms["loss_adversarial"]
        + config.l1 * terms["loss_l1"]
        + config.identity * terms["loss_identity"]
    )
    if config.feature_matching > 0:
        with torch.no_grad(), runtime.autocast():
            _, real = state.discriminator(diff_augment(batch.faces, state.model.config.augment), embedding)
        terms["loss_features"] = losses.feature_matching_loss(features.float(), real.float())
        loss = loss + config.feature_matching * terms["loss_features"]
    state.optimizer_generator.zero_grad(set_to_none=True)
    loss.backward()
    terms[f"{GRADIENT_NORM}generator"] = gradient_norm(state.optimizer_generator)
    state.optimizer_generator.step()
    state.discriminator.requires_grad_(True)
    return {"loss_generator": loss} | terms


def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor:
    """The Euclidean norm of the whole gradient that an optimiser is about to use, on the device."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])


@torch.no_grad()
def update_average(state: State) -> None:
    """Move the average towards the model: decay as configured, smaller in the first steps."""
    ema = state.model.config.ema
    if state.average is None or ema is None:
        return
    decay = min(ema.decay, (1 + state.step) / (10 + state.step))
    live = state.model.state_dict()
    parameters = dict(state.model.named_parameters())
    for name, value in state.average.state_dict().items():
        # Counters and the unit vectors of spectral norms have no meaningful average.
        if name in parameters or name.endswith(("running_mean", "running_var")):
            value.lerp_(live[name], 1 - decay)
        else:
            value.copy_(live[name])


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave, with the means to keep it. Valid until the next epoch is asked for.

    Attributes:
        number: epochs finished so far, from 1.
        metrics: means of every loss term, score and gradient's norm over the epoch's steps, learning rates,
            speed, and, when this epoch was evaluated, the measures of the validation split that
            :func:`wav2pix.evaluation.measure_names` lists.
    """

    number: int
    metrics: dict[str, float]
    _state: State = field(repr=False)
    _data: Dataset = field(repr=False)

    def save(self, folder: Path) -> None:
        """Write a checkpoint folder atomically; an older one there is replaced."""
        checkpoint.save(folder, self._state, self.metrics, self._data.content_hash)

    def pictures(self, num_pairs: int = 8) -> npt.NDArray[np.uint8]:
        """(H, W, 3) grid of held-out faces, real above generated."""
        return comparison_grid(self._state.inference_model, self._data, "validation", num_pairs)


def fit(config: TrainConfig, data: Dataset, resume: Path | None = None) -> Iterator[Epoch]:
    """Train, yielding after every epoch.

    Args:
        config: what to train.
        data: a prepared data set; its training split is learned, its validation split measured.
        resume: a checkpoint folder of the same configuration to go on from.

    Yields:
        The epochs after ``resume`` up to ``config.epochs``; none when that many are done.

    Raises:
        DataError: the data do not suit the configuration.
        ConfigError: the model cannot be measured at a length of speech that the configuration names.
        CheckpointError: ``resume`` is of another configuration or damaged.
        TrainingDiverged: a loss is not finite or the generator draws one picture for all speech.
    """
    runtime = Runtime.of(config.runtime)
    loader = PairLoader(config, data, runtime.device)
    check_lengths(config, data)
    state = new_state(config, learned_identities(config, data), runtime)
    if resume is not None:
        checkpoint.restore(resume, state)
    judge = get_judge(data)
    while state.epoch < config.epochs:
        started = time.perf_counter()
        metrics = _train_epoch(state, loader, runtime)
        speed = loader.num_pairs / (time.perf_counter() - started)
        state.epoch += 1
        metrics |= {
            "pairs_per_second": speed,
            "lr_generator": config.optimizer.lr_generator,
            "lr_discriminator": config.optimizer.lr_discriminator,
        }
        if state.epoch % config.evaluation.every == 0 or state.epoch == config.epochs:
            metrics |= _evaluate(state, data, judge)
        metrics["epoch_s"] = time.perf_counter() - started
        yield Epoch(state.epoch, metrics, state, data)


def _train_epoch(state: State, loader: PairLoader, runtime: Runtime) -> dict[str, float]:
    state.model.train()
    state.discriminator.train()
    sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=runtime.device))
    num_steps = 0
    for batch in loader.epoch(state.rng):
        for name, value in train_step(state, batch, runtime).items():
            sums[name] += value.detach()
        state.step += 1
        num_steps += 1
        update_average(state)
        # Asking for a value waits for the device: now and then is enough to stop early.
        if num_steps % 16 == 0:
            _check_finite(sums, state.epoch + 1)
    _check_finite(sums, state.epoch + 1)
    return {name: float(total) / num_steps for name, total in sums.items()}


def _check_finite(sums: dict[str, Tensor], epoch: int) -> None:
    checked = {name: value for name, value in sums.items() if not name.startswith(GRADIENT_NORM)}
    finite = torch.stack(list(checked.values())).isfinite().tolist()
    for name, good in zip(checked, finite, strict=True):
        if not good:
            raise TrainingDiverged(
                epoch, name, "not a finite number; lower the learning rates or the weight of this term"
            )


def _evaluate(state: State, data: Dataset, judge: Judge) -> dict[str, float]:
    metrics, spread = measure_epoch(state.inference_model, data, judge)
    if spread < COLLAPSED_STD:
        raise TrainingDiverged(
            state.epoch,
            "generator",
            f"draws one picture whatever the speech (standard deviation {spread:.1e})",
        )
    return metrics
