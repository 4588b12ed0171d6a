"""The paper's networks: sizes, and equality with their plain formulation, values and gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wav2pix.config import make_config
from wav2pix.errors import ConfigError
from wav2pix.losses import r1_penalty
from wav2pix.models import build_discriminator
from wav2pix.models import layers as layers_module
from wav2pix.models.heads import IdentityHead
from wav2pix.models.layers import StridedConv1d, dropped_relu, keep_mask
from wav2pix.models.paper import ConcatenationDiscriminator, SeganEncoder, TransposedGenerator
from wav2pix.models.spectral import SpectralWeight


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(11)


def _millions(*networks: nn.Module) -> float:
    return sum(parameter.numel() for network in networks for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize(("size", "generator", "discriminator"), [(64, 15.3, 2.8), (128, 24.8, 11.2)])
def test_the_networks_have_as_many_parameters_as_the_papers(
    size: int, generator: float, discriminator: float
) -> None:
    head = IdentityHead(128, 10, hidden=200)
    drawing = _millions(SeganEncoder(16000), TransposedGenerator(size, 128, dropout=0.5), head)
    assert drawing == pytest.approx(generator, abs=0.05)
    assert _millions(ConcatenationDiscriminator(size, 128)) == pytest.approx(discriminator, abs=0.05)


def test_the_papers_discriminator_may_be_of_other_widths_but_not_of_too_few() -> None:
    settings = {"discriminator.type": "concatenation", "discriminator.channels": [8, 16, 24, 32]}
    judge = build_discriminator(make_config("small", settings))
    scores, features = judge(torch.rand(2, 3, 64, 64), torch.rand(2, 128))
    assert (scores.shape, features.shape) == ((2,), (2, 16, 32))
    with pytest.raises(ConfigError, match=r"'discriminator.channels' has 3 widths; this image_size needs 4"):
        build_discriminator(make_config("small", settings | {"discriminator.channels": [8, 16, 24]}))


@pytest.mark.parametrize("samples", [4800, 11200, 16000, 24001, 64000])
def test_speech_from_0_3_to_4_seconds_is_encoded(samples: int) -> None:
    encoder = SeganEncoder(samples, embedding_size=32).eval()
    with torch.no_grad():
        assert encoder(torch.randn(2, samples)).shape == (2, 32)


def test_speech_of_another_length_than_the_encoder_was_made_for_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 16000 samples of speech, not 8000"):
        SeganEncoder(16000)(torch.randn(2, 8000))


@pytest.mark.parametrize(("channels", "out"), [(1, 16), (32, 24), (128, 16), (512, 600)])
@pytest.mark.parametrize("length", [16, 61, 62, 75])
def test_a_strided_convolution_equals_the_plain_one(channels: int, out: int, length: int) -> None:
    layer = StridedConv1d(channels, out).double()
    speech = torch.randn(3, channels, length, dtype=torch.float64, requires_grad=True)
    plain_weight = layer.weight.detach().view(out, 15, channels).transpose(1, 2).requires_grad_()
    ours = layer(speech[:, :, None])[:, :, 0]
    plain = F.conv1d(F.pad(speech, (6, 7)), plain_weight, layer.bias, stride=4)
    torch.testing.assert_close(ours, plain)
    seen = torch.randn_like(plain)
    our_gradients = torch.autograd.grad(ours, (speech, layer.weight, layer.bias), seen)
    plain_gradients = list(torch.autograd.grad(plain, (speech, plain_weight, layer.bias), seen))
    plain_gradients[1] = plain_gradients[1].transpose(1, 2).flatten(1)
    for our_gradient, plain_gradient in zip(our_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(our_gradient, plain_gradient)


def test_the_encoder_equals_plain_convolutions_with_batch_norm() -> None:
    encoder = SeganEncoder(4801, embedding_size=8).double()
    speech = torch.randn(4, 4801, dtype=torch.float64)
    plain = speech[:, None]
    for convolution, norm in zip(encoder.convolutions, encoder.norms, strict=True):
        weight = convolution.weight.view(len(convolution.weight), 15, -1).transpose(1, 2)
        plain = F.conv1d(F.pad(plain, (6, 7)), weight, convolution.bias, stride=4)
        plain = F.leaky_relu(F.batch_norm(plain, None, None, norm.weight, norm.bias, training=True), 0.3)
    first, second, third = encoder.linear
    plain = third(F.relu(second(F.relu(first(plain.flatten(1))))))
    ours = encoder(speech)
    torch.testing.assert_close(ours, plain)
    _assert_same_gradients(ours, plain, tuple(encoder.parameters()))


def _plain_weight(layer: SpectralWeight) -> Tensor:
    """W / s after one step of the power iteration, as each layer of the original has it."""
    weight = layer.filters().contiguous()
    matrix = weight.flatten(1)
    with torch.no_grad():
        v = F.normalize(matrix.t() @ layer.u, dim=0)
        u = F.normalize(matrix @ v, dim=0)
    return weight / (u @ matrix @ v)


def _assert_same_gradients(ours: Tensor, plain: Tensor, inputs: tuple[Tensor, ...]) -> None:
    seen = torch.randn_like(plain)
    our_gradients = torch.autograd.grad(ours, inputs, seen)
    plain_gradients = torch.autograd.grad(plain, inputs, seen)
    for our_gradient, plain_gradient in zip(our_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(our_gradient, plain_gradient, rtol=1e-7, atol=1e-12)


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The masks that dropout has drawn."""
    drawn: list[Tensor] = []

    def recorded(like: Tensor, dropout: float) -> Tensor:
        drawn.append(keep_mask(like, dropout))
        return drawn[-1]

    monkeypatch.setattr(layers_module, "keep_mask", recorded)
    return drawn


@pytest.mark.parametrize(("size", "dropout"), [(64, 0.5), (64, 0.0), (128, 0.25)])
def test_the_generator_equals_normalised_layers_with_dropout(
    size: int, dropout: float, masks: list[Tensor]
) -> None:
    generator = TransposedGenerator(size, 16, dropout).double()
    weights = [_plain_weight(layer) for layer in generator.layers]
    embedding = torch.randn(2, 16, dtype=torch.float64, requires_grad=True)
    ours = generator(embedding)
    drawn: Iterator[Tensor] = iter(masks)
    plain = F.conv_transpose2d(embedding[:, :, None, None], weights[0])
    for weight in weights[1:]:
        kept = plain * next(drawn) / (1 - dropout) if dropout else plain
        plain = F.conv_transpose2d(F.relu(kept), weight, stride=2, padding=1)
    plain = torch.tanh(plain)
    assert ours.shape == (2, 3, size, size)
    torch.testing.assert_close(ours, plain)
    _assert_same_gradients(ours, plain, (embedding, *generator.parameters()))


@pytest.mark.parametrize("size", [64, 128])
def test_the_discriminator_equals_tiling_and_concatenation(size: int) -> None:
    judge = ConcatenationDiscriminator(size, 16).double()
    weights = [_plain_weight(layer) for layer in judge.layers]
    faces = torch.randn(2, 3, size, size, dtype=torch.float64, requires_grad=True)
    embedding = torch.randn(2, 16, dtype=torch.float64, requires_grad=True)
    score, features = judge(faces, embedding)
    maps = faces
    for weight in weights:
        maps = F.leaky_relu(F.conv2d(maps, weight, stride=2, padding=1), 0.2)
    tiled = embedding[:, :, None, None].repeat(1, 1, 4, 4)
    kernel = torch.cat([judge.face_score, judge.speech_score], 1).view(4, 4, -1).permute(2, 0, 1)[None]
    plain = F.conv2d(torch.cat([maps, tiled], 1), kernel).flatten()
    torch.testing.assert_close(score, plain)
    torch.testing.assert_close(features, maps.flatten(2).transpose(1, 2))
    ours, expected = (
        torch.cat([score, features.mean(1).flatten()]),
        torch.cat([plain, maps.mean(dim=(2, 3)).flatten()]),
    )
    _assert_same_gradients(ours, expected, (faces, embedding, *judge.parameters()))


def test_the_gradient_penalty_of_real_faces_reaches_the_weights_of_the_discriminator() -> None:
    judge = ConcatenationDiscriminator(64, 4).double()
    faces = torch.randn(2, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    embedding = torch.randn(2, 4, dtype=torch.float64)
    weights = [_plain_weight(layer) for layer in judge.layers]
    penalty = r1_penalty(judge(faces, embedding)[0], faces)
    maps = faces
    for weight in weights:
        maps = F.leaky_relu(F.conv2d(maps, weight, stride=2, padding=1), 0.2)
    kernel = judge.face_score.view(4, 4, -1).permute(2, 0, 1)[None]
    plain = r1_penalty(F.conv2d(maps, kernel).flatten(), faces)
    torch.testing.assert_close(penalty, plain)
    inputs = (*(layer.weight for layer in judge.layers), judge.face_score)
    _assert_same_gradients(penalty, plain, inputs)


@pytest.mark.parametrize("network", [TransposedGenerator(64, 8, 0.5), ConcatenationDiscriminator(64, 8)])
def test_training_takes_one_step_of_the_power_iteration_and_inference_none(network: nn.Module) -> None:
    network = copy.deepcopy(network)
    inputs = (
        (torch.randn(2, 8),)
        if isinstance(network, TransposedGenerator)
        else (
            torch.randn(2, 3, 64, 64),
            torch.randn(2, 8),
        )
    )
    before = copy.deepcopy(network.state_dict())
    network.eval()(*inputs)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.train()(*inputs)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.endswith((".u", ".v"))}


def test_an_untrained_generator_in_inference_is_normalised() -> None:
    generator = TransposedGenerator(64, 8, dropout=0.5).eval()
    for layer in generator.layers:
        largest = torch.linalg.matrix_norm(layer.weight, 2)
        assert 0.7 * largest < layer.norm() < 1.01 * largest


def test_the_power_iteration_finds_the_largest_singular_value() -> None:
    layer = SpectralWeight(24, 16, kernel=4)
    for _ in range(200):
        layer.norm()
    largest = torch.linalg.matrix_norm(layer.weight.detach(), 2)
    torch.testing.assert_close(layer.eval().norm().detach(), largest, rtol=1e-3, atol=0)


def test_the_norm_is_estimated_in_full_precision_under_autocast() -> None:
    layer = SpectralWeight(24, 16, kernel=4).eval()
    with torch.autocast("cpu", torch.bfloat16):
        estimated = layer.norm()
    torch.testing.assert_close(estimated, layer.u @ layer.weight @ layer.v)


def test_the_networks_run_in_bfloat16_autocast_and_stay_near_full_precision() -> None:
    encoder, generator = SeganEncoder(4800, 8), TransposedGenerator(64, 8, dropout=0.0)
    judge = ConcatenationDiscriminator(64, 8)
    speech, faces = torch.randn(4, 4800), torch.randn(4, 3, 64, 64)
    embedding = torch.randn(4, 8, requires_grad=True)
    networks = [network.eval() for network in (encoder, generator, judge)]
    full = encoder(speech), generator(embedding), *judge(faces, embedding)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(speech), generator(embedding), *judge(faces, embedding)
    for ours, expected in zip(half, full, strict=True):
        assert (ours - expected).abs().max() < 0.05 * expected.abs().max()
    sum(output.float().sum() for output in half).backward()
    assert embedding.grad is not None
    assert embedding.grad.isfinite().all()
    assert all(value.grad is not None for network in networks for value in network.parameters())


def test_an_untrained_generator_draws_the_same_face_twice_in_inference_and_not_in_training() -> None:
    generator = TransposedGenerator(64, 8, dropout=0.5)
    embedding = torch.randn(2, 8)
    assert not torch.equal(generator(embedding), generator(embedding))
    generator.eval()
    assert torch.equal(generator(embedding), generator(embedding))


@pytest.mark.parametrize("dropout", [0.5, 0.3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_keeps_each_value_with_its_probability_and_independently(
    dropout: float, layout: torch.memory_format
) -> None:
    like = torch.empty(5, 37, 31, 41).contiguous(memory_format=layout)
    kept = keep_mask(like, dropout)
    assert kept.shape == like.shape
    assert kept.stride() == like.stride()
    memory = (kept.permute(0, 2, 3, 1) if layout == torch.channels_last else kept).flatten().double()
    error = 5 / len(memory) ** 0.5  # ten standard deviations of a mean, at most
    assert memory.mean().item() == pytest.approx(1 - dropout, abs=error)
    centred = memory - memory.mean()
    for lag in (1, 2, 3, 4, 7, 8, 16, 64, 41, 37):
        correlation = (centred[lag:] * centred[:-lag]).mean() / centred.square().mean()
        assert abs(correlation.item()) < error
    for channel in kept.double().mean(dim=(0, 2, 3)):
        assert channel.item() == pytest.approx(1 - dropout, abs=0.05)


def test_dropout_is_repeated_by_the_seed() -> None:
    like = torch.empty(3, 5, 7, 7)
    torch.manual_seed(5)
    first, second = keep_mask(like, 0.5), keep_mask(like, 0.5)
    torch.manual_seed(5)
    assert torch.equal(keep_mask(like, 0.5), first)
    assert not torch.equal(first, second)


def test_dropped_values_pass_no_gradient_and_kept_ones_the_gradient_of_relu(masks: list[Tensor]) -> None:
    values = torch.randn(4, 6, 8, 8, requires_grad=True)
    dropped = dropped_relu(values, 0.5)
    plain = F.relu(values) * masks[0]
    assert torch.equal(dropped, plain)
    seen = torch.randn_like(values)
    ours, expected = (torch.autograd.grad(result, values, seen)[0] for result in (dropped, plain))
    assert torch.equal(ours, expected)


@pytest.mark.parametrize(("hidden", "identities"), [(200, 10), (200, 3), (0, 1251)])
def test_the_identity_head_takes_any_number_of_identities(hidden: int, identities: int) -> None:
    head = IdentityHead(16, identities, hidden)
    assert head(torch.randn(4, 16)).shape == (4, identities)
    kinds = [type(layer).__name__ for layer in head.layers]
    paper = ["Linear", "BatchNorm1d", "LeakyReLU", "Linear", "BatchNorm1d"]
    assert kinds == (paper if hidden else ["Linear"])


def test_weights_start_as_in_the_paper() -> None:
    networks = SeganEncoder(16000), TransposedGenerator(64, 128, 0.5), ConcatenationDiscriminator(64, 128)
    for network in networks:
        for name, parameter in network.named_parameters():
            is_norm = "norms" in name and name.endswith("weight")
            if name.endswith("bias"):
                assert not parameter.any()
            elif parameter.numel() > 500:
                assert parameter.mean().item() == pytest.approx(1.0 if is_norm else 0.0, abs=0.004)
                assert parameter.std().item() == pytest.approx(0.02, rel=0.1)
