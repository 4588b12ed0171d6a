"""Importing state dicts of the original repository."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import original_network
import pytest
import torch
from torch import Tensor

from wav2pix import checkpoint
from wav2pix.errors import CheckpointError
from wav2pix.original import import_original, load_state_dict_file, read_original
from wav2pix.runtime import Runtime
from wav2pix.train import new_state

PLACES, IDENTITIES, SAMPLES = 3, 7, 11200
NAMES = ("ada", "bo", "cy", "di", "eva", "flo", "gus")


def _random(shapes: original_network.Shapes) -> dict[str, Tensor]:
    torch.manual_seed(3)
    tensors: dict[str, Tensor] = OrderedDict()
    for name, shape in shapes:
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(5)
        elif name.endswith("running_var"):
            tensors[name] = torch.rand(shape) + 0.5
        elif len(shape) < 2:
            tensors[name] = torch.randn(shape) * 0.1 + (1.0 if "bn.weight" in name else 0.0)
        else:
            tensors[name] = torch.randn(shape) * 0.05
    return tensors


@pytest.fixture(scope="module")
def generator() -> dict[str, Tensor]:
    return _random(original_network.generator_shapes(64, PLACES, IDENTITIES))


@pytest.fixture(scope="module")
def discriminator() -> dict[str, Tensor]:
    return _random(original_network.discriminator_shapes(64))


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, generator: dict[str, Tensor], discriminator: dict[str, Tensor]
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("original")
    torch.save(generator, folder / "gen.pth")
    torch.save(discriminator, folder / "disc.pth")
    return folder / "gen.pth", folder / "disc.pth"


def _saved(tensors: dict[str, Tensor], folder: Path) -> Path:
    torch.save(tensors, folder / "changed.pth")
    return folder / "changed.pth"


@torch.no_grad()
def test_an_imported_model_returns_what_the_original_returns(
    files: tuple[Path, Path], generator: dict[str, Tensor], discriminator: dict[str, Tensor], tmp_path: Path
) -> None:
    judge = import_original(*files, tmp_path / "model").discriminator
    model = checkpoint.load_model(tmp_path / "model")
    assert judge is not None
    speech, faces = torch.randn(4, SAMPLES), torch.rand(4, 3, 64, 64) * 2 - 1
    expected = original_network.outputs(generator, discriminator, speech, faces)
    for _ in range(2):  # a second look finds the same picture: inference changes nothing
        embedding = model.encoder(speech)
        score, features = judge(faces, embedding)
        found = (
            embedding,
            model.generator(embedding),
            model.identity_head(embedding),
            score,
            features.mean(dim=1),
        )
        for (name, value), ours in zip(expected.items(), found, strict=True):
            torch.testing.assert_close(ours, value, rtol=1e-4, atol=1e-4 * value.abs().max().item(), msg=name)


def test_size_length_of_speech_and_identities_are_read_from_the_shapes(files: tuple[Path, Path]) -> None:
    model = read_original(files[0], identities=NAMES).model
    assert model.config.image_size == 64
    assert model.config.speech_window_s == 0.7
    assert model.config.speech_quantisation == "one_bit"
    assert model.identities == NAMES


@pytest.mark.parametrize(("places", "window_s"), [(1, 0.3), (2, 0.5), (4, 1.0), (16, 4.0)])
def test_any_length_of_speech_is_recognised(places: int, window_s: float, tmp_path: Path) -> None:
    tensors = _random(original_network.generator_shapes(64, places, 2))
    assert read_original(_saved(tensors, tmp_path)).model.config.speech_window_s == window_s


def test_without_a_discriminator_the_folder_is_a_model_for_inference(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    assert import_original(files[0], None, tmp_path / "model").discriminator is None
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]
    faces = checkpoint.load_model(tmp_path / "model")(torch.randint(-900, 900, (2, SAMPLES)))
    assert faces.shape == (2, 3, 64, 64)


def test_with_a_discriminator_training_can_resume_from_the_import(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    imported = import_original(*files, tmp_path / "model", NAMES)
    state = new_state(imported.model.config, NAMES, Runtime.of(imported.model.config.runtime))
    checkpoint.restore(tmp_path / "model", state)
    assert state.epoch == 0
    assert imported.discriminator is not None
    for name, value in imported.discriminator.state_dict().items():
        assert torch.equal(state.discriminator.state_dict()[name], value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("netG.3.6.module.weight_u"), r"netG\.3\.6\.module\.weight_u is missing"),
        (
            lambda tensors: tensors.pop("aux_classifier.net.3.weight"),
            r"aux_classifier\.net\.3\.weight is missing",
        ),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "extra is not part of the original"),
        (
            lambda tensors: tensors.update({"netG.0.module.weight_v": torch.ones(9)}),
            r"netG\.0\.module\.weight_v is \(9,\) and should be \(8192,\)",
        ),
        (lambda tensors: tensors.clear(), "is not a generator of the original"),
        (
            lambda tensors: tensors.update({"audio_embedding.fc.0.weight": torch.ones(256, 1024 * 40)}),
            "speech_window_s",
        ),
        (
            lambda tensors: tensors.update({"audio_embedding.fc.4.weight": torch.ones(3)}),
            r"audio_embedding\.fc\.4\.weight is \(3,\) and should be a matrix",
        ),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused_by_the_name_of_its_tensor(
    generator: dict[str, Tensor], change: object, message: str, tmp_path: Path
) -> None:
    tensors = dict(generator)
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        import_original(_saved(tensors, tmp_path), None, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_discriminator_of_another_size_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = _saved(_random(original_network.discriminator_shapes(128)), tmp_path)
    with pytest.raises(CheckpointError, match=r"netD_1\.0\.module\.weight_bar is missing"):
        read_original(files[0], other)


def test_swapped_files_are_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"disc\.pth is not a generator of the original"):
        read_original(files[1], files[0])


def test_names_of_identities_must_be_as_many_as_the_classes(files: tuple[Path, Path]) -> None:
    with pytest.raises(CheckpointError, match="7 identities; 2 names"):
        read_original(files[0], identities=("ada", "bo"))


def test_a_missing_damaged_or_foreign_file_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth: no such file"):
        load_state_dict_file(tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(files[0].read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("not a state dict")
    (tmp_path / "empty.pth").touch()
    for name in ("cut.pth", "text.pth", "empty.pth"):
        with pytest.raises(CheckpointError, match=f"{name} is not a state dict"):
            load_state_dict_file(tmp_path / name)
    torch.save({"epoch": 3, "model": {}}, tmp_path / "more.pth")
    with pytest.raises(CheckpointError, match="holds more than a state dict"):
        load_state_dict_file(tmp_path / "more.pth")


class _Attack:
    """Would make a folder when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"weight": _Attack(tmp_path / "made")}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(_Attack(tmp_path / "made"), protocol=2))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(CheckpointError):
            load_state_dict_file(tmp_path / name)
    assert not (tmp_path / "made").exists()
