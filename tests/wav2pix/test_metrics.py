"""The measures say what their names say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wav2pix.augment import diff_augment, shift_speech
from wav2pix.batches import faces_to_tensor, tensor_to_faces
from wav2pix.config import AugmentConfig, make_config
from wav2pix.data import Dataset, open_dataset
from wav2pix.judge import Judge, get_judge
from wav2pix.metrics import diversity, evaluate, sharpness
from wav2pix.models import Wav2Pix
from wav2pix.models.modern import UpsamplingConv2d
from wav2pix.speech import prepare_speech


@pytest.fixture(scope="module")
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


@pytest.fixture(scope="module")
def judge(data: Dataset) -> Judge:
    return get_judge(data)


class Oracle(Wav2Pix):
    """Draws the very face that belongs to the speech, or the one of another row."""

    def __init__(self, data: Dataset, names: tuple[str, ...], blur: int = 1) -> None:
        super().__init__(make_config("small"), names)
        self.faces = {data.speech[row].tobytes(): data.faces[data.face[row]] for row in range(len(data))}
        self.blur = blur

    def forward(self, speech: Tensor) -> Tensor:
        rows = [self.faces[window.tobytes()] for window in speech.numpy()]
        faces = faces_to_tensor(np.stack(rows))
        return F.avg_pool2d(faces, self.blur, 1, self.blur // 2, count_include_pad=False)


def test_real_faces_reach_the_ceiling_and_shuffled_speech_falls_to_chance(data: Dataset, judge: Judge) -> None:
    metrics = evaluate(Oracle(data, data.identities), data, "all", judge).metrics
    assert metrics["identity_accuracy"] == metrics["identity_accuracy_ceiling"] > 0.9
    assert metrics["identity_accuracy_chance"] == pytest.approx(1 / 3)
    assert abs(metrics["identity_accuracy_shuffled"] - 1 / 3) < 0.2
    assert metrics["l1"] == 0 < metrics["l1_mean_face"]
    assert metrics["sharpness"] == pytest.approx(1)
    assert metrics["diversity"] == pytest.approx(1)
    assert metrics["kid"] < 0.01


def test_a_blurred_face_cannot_pass_for_a_sharp_one(data: Dataset, judge: Judge) -> None:
    metrics = evaluate(Oracle(data, data.identities, blur=7), data, "all", judge).metrics
    assert metrics["sharpness"] < 0.3
    assert metrics["kid"] > 0.1


def test_one_picture_a_person_has_no_diversity() -> None:
    faces = torch.rand(6, 3, 8, 8)
    identities = torch.tensor([0, 0, 0, 1, 1, 1])
    assert diversity(faces, identities) > 0.1
    assert diversity(faces[[0, 0, 0, 3, 3, 3]], identities) == 0


def test_a_flat_picture_has_no_sharpness() -> None:
    assert sharpness(torch.full((2, 3, 16, 16), 0.3)) == pytest.approx(0, abs=1e-6)


def test_speakers_that_the_model_does_not_know_are_left_out_and_named(data: Dataset, judge: Judge) -> None:
    result = evaluate(Oracle(data, data.identities[:2]), data, "all", judge)
    assert result.unknown_identities == data.identities[2:]
    assert result.num_pairs == int((data.identity < 2).sum())


def test_the_judge_is_found_again_in_the_cache(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = get_judge(data)
    (file,) = (tmp_path / "wav2pix").iterdir()
    stamp = file.stat().st_mtime_ns
    second = get_judge(data)
    assert file.stat().st_mtime_ns == stamp
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    file.write_bytes(b"damaged")
    get_judge(data)
    assert file.stat().st_size > 100


def test_training_the_judge_leaves_the_random_numbers_of_a_run_alone(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    get_judge(data)
    assert torch.equal(torch.rand(3), expected)


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
