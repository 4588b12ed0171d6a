"""The small parts that networks and batches are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from wav2pix.augment import diff_augment, shift_speech
from wav2pix.batches import faces_to_tensor, tensor_to_faces
from wav2pix.config import AugmentConfig
from wav2pix.models.modern import UpsamplingConv2d
from wav2pix.speech import prepare_speech


def test_faces_survive_the_way_to_a_tensor_and_back() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert (tensor_to_faces(faces_to_tensor(faces)) == faces).all()


def test_upsampling_in_one_step_equals_the_two_steps() -> None:
    layer = UpsamplingConv2d(5, 3)
    features = torch.randn(2, 5, 6, 6)
    plain = F.conv2d(F.interpolate(features, scale_factor=2, mode="nearest"), layer.weight, padding=1)
    torch.testing.assert_close(layer(features), plain, rtol=1e-5, atol=1e-5)


def test_speech_is_normalised_by_its_peak_whatever_its_level() -> None:
    speech = torch.randint(-3000, 3000, (2, 800), dtype=torch.int16)
    louder = (speech * 5).to(torch.int16)
    torch.testing.assert_close(prepare_speech(speech), prepare_speech(louder))
    assert prepare_speech(torch.zeros(1, 100)).eq(0).all()


def test_one_bit_speech_is_minus_one_zero_and_one() -> None:
    speech = torch.tensor([[-400, -1, 0, 399, 400]], dtype=torch.int16)
    heard = prepare_speech(speech, quantisation="one_bit", preemphasis=0.0)
    assert heard.tolist() == [[-1, -1, 0, 0, 1]]


def test_shifted_speech_is_the_same_speech_from_another_start() -> None:
    speech = torch.arange(10).repeat(4, 1)
    for row in shift_speech(speech):
        assert row.roll(-int(row.argmin())).tolist() == list(range(10))


@pytest.mark.parametrize("part", ["translation", "colour", "cutout", "flip"])
def test_each_augmentation_changes_faces_and_lets_gradients_through(part: str) -> None:
    off: dict[str, float] = {"translation": 0, "colour": 0, "cutout": 0, "flip": False}
    faces = torch.rand(16, 3, 16, 16, requires_grad=True)
    torch.manual_seed(0)
    seen = diff_augment(faces, AugmentConfig.model_validate(off | {part: 0.5 if part != "flip" else True}))
    assert seen.shape == faces.shape and not torch.equal(seen, faces)
    seen.sum().backward()
    assert faces.grad is not None and faces.grad.abs().sum() > 0
    assert torch.equal(diff_augment(faces, AugmentConfig.model_validate(off)), faces)
