"""Training: what a run learns, keeps, and refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from wav2pix import train
from wav2pix.batches import PairLoader
from wav2pix.checkpoint import export_model, load_model
from wav2pix.config import TrainConfig, make_config
from wav2pix.data import Dataset, open_dataset
from wav2pix.drawing import draw_faces
from wav2pix.errors import CheckpointError, DataError, TrainingDiverged
from wav2pix.models import Wav2Pix
from wav2pix.runtime import Runtime
from wav2pix.train import State, discriminator_step, fit, generator_step, new_state, train_step

TINY = {
    "batch_size": 8,
    "encoder.channels": [8, 8, 16, 16],
    "generator.channels": [32, 16, 16, 8, 8],
    "discriminator.channels": [8, 16, 16, 16],
    "runtime.num_threads": 1,
    "runtime.device": "cpu",
}


@pytest.fixture(scope="module")
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


def config(**changes: object) -> TrainConfig:
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    return make_config("small", TINY | settings)


def weights_after(epochs: int, data: Dataset, resume: Path | None = None) -> dict[str, torch.Tensor]:
    *_, last = fit(config(epochs=epochs), data, resume)
    return {name: value.clone() for name, value in last._state.model.state_dict().items()}


def test_two_epochs_and_two_resumed_ones_give_bit_for_bit_the_weights_of_four(
    data: Dataset, tmp_path: Path
) -> None:
    *_, last = fit(config(epochs=2), data)
    last.save(tmp_path / "kept")
    straight = weights_after(4, data)
    resumed = weights_after(4, data, resume=tmp_path / "kept")
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name


def test_a_finished_run_yields_nothing_more(data: Dataset, tmp_path: Path) -> None:
    *_, last = fit(config(epochs=1), data)
    last.save(tmp_path / "kept")
    assert list(fit(config(epochs=1), data, tmp_path / "kept")) == []


def test_an_epoch_reports_every_term_and_every_measure(data: Dataset) -> None:
    (epoch,) = fit(config(epochs=1), data)
    assert {
        "loss_discriminator",
        "loss_generator",
        "loss_real",
        "loss_wrong",
        "loss_fake",
        "loss_adversarial",
        "loss_l1",
        "loss_identity",
        "score_real",
        "score_wrong",
        "score_fake",
        "grad_norm_generator",
        "grad_norm_discriminator",
        "lr_generator",
        "lr_discriminator",
        "pairs_per_second",
        "identity_accuracy",
        "identity_accuracy_ceiling",
        "identity_accuracy_chance",
        "identity_accuracy_shuffled",
        "l1",
        "l1_mean_face",
        "sharpness",
        "diversity",
        "kid",
    } <= epoch.metrics.keys()
    assert all(np.isfinite(value) for value in epoch.metrics.values())


def test_the_norm_of_a_gradient_is_that_of_all_its_entries_and_an_epoch_reports_the_mean_over_its_steps(
    data: Dataset,
) -> None:
    (epoch,) = fit(config(epochs=1), data)
    state, runtime, loader = one_batch(data, config())
    state.model.train()
    norms: dict[str, list[float]] = {"generator": [], "discriminator": []}
    for batch in loader.epoch(state.rng):
        terms = train_step(state, batch, runtime)
        for name, network in (("generator", state.model), ("discriminator", state.discriminator)):
            gradients = [parameter.grad for parameter in network.parameters()]
            entries = torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
            torch.testing.assert_close(terms[f"grad_norm_{name}"], entries.double().norm().float())
            norms[name].append(float(entries.norm()))
    assert len(norms["generator"]) > 1
    for name, values in norms.items():
        assert epoch.metrics[f"grad_norm_{name}"] == pytest.approx(np.mean(values), rel=1e-4)


def test_a_gradient_whose_norm_overflows_ends_no_run(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "gradient_norm", lambda optimizer: torch.tensor(torch.inf))
    (epoch,) = fit(config(epochs=1), data)
    assert epoch.metrics["grad_norm_generator"] == np.inf


def test_a_resumed_run_reports_what_a_straight_one_does(data: Dataset, tmp_path: Path) -> None:
    first, second = fit(config(epochs=2), data)
    # An epoch is valid until the next one is asked for.
    next(fit(config(epochs=2), data)).save(tmp_path / "kept")
    (resumed,) = fit(config(epochs=2), data, tmp_path / "kept")
    timed = {"pairs_per_second", "epoch_s"}
    assert first.metrics["grad_norm_generator"] != second.metrics["grad_norm_generator"]
    for name in second.metrics.keys() - timed:
        assert resumed.metrics[name] == second.metrics[name], name


def one_batch(data: Dataset, settings: TrainConfig) -> tuple[State, Runtime, PairLoader]:
    runtime = Runtime.of(settings.runtime)
    return new_state(settings, data.identities, runtime), runtime, PairLoader(settings, data, runtime.device)


def test_each_step_changes_its_own_network_only(data: Dataset) -> None:
    state, runtime, loader = one_batch(data, config())
    batch = next(loader.epoch(state.rng))
    embedding = state.model.embed(batch.speech)
    fake = state.model.generator(embedding)
    discriminator_step(state, batch, fake.detach(), embedding.detach(), runtime)
    assert all(parameter.grad is None for parameter in state.model.parameters())

    state.optimizer_discriminator.zero_grad(set_to_none=True)
    generator_step(state, batch, fake, embedding, runtime)
    assert all(parameter.grad is None for parameter in state.discriminator.parameters())
    assert all(parameter.grad is not None for parameter in state.model.encoder.parameters())
    assert all(parameter.requires_grad for parameter in state.discriminator.parameters())


def test_a_wrong_face_is_never_of_the_speaker(data: Dataset) -> None:
    loader = one_batch(data, config())[2]
    faces_of = {
        identity: data.faces[np.unique(data.face[data.identity == identity])]
        for identity in range(len(data.identities))
    }
    for batch in loader.epoch(np.random.default_rng(0)):
        wrong = ((batch.wrong_faces + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        for face, identity in zip(wrong, batch.identities.tolist(), strict=True):
            assert not (faces_of[identity] == face).all(axis=(1, 2, 3)).any()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_term(data: Dataset) -> None:
    with pytest.raises(TrainingDiverged, match="epoch 1: loss_"):
        list(fit(config(epochs=3, loss__l1=1e38, optimizer__lr_generator=1e30), data))


def test_a_generator_that_ignores_the_speech_stops_the_run(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wav2Pix, "embed", lambda self, speech: torch.ones(len(speech), 128))
    settings = config(epochs=1, loss__identity=0.0)
    with pytest.raises(TrainingDiverged, match="one picture whatever the speech"):
        list(fit(settings, data))


@pytest.mark.parametrize("preset", ["paper", "modern"])
def test_the_large_presets_take_a_step(data: Dataset, preset: str) -> None:
    settings = make_config(
        preset, {"image_size": 64, "batch_size": 2, "runtime.num_threads": 1, "loss.r1": 0.1}
    )
    state, runtime, loader = one_batch(data, settings)
    batch = next(loader.epoch(state.rng))
    embedding = state.model.embed(batch.speech)
    fake = state.model.generator(embedding)
    assert fake.shape == (2, 3, 64, 64)
    terms = discriminator_step(state, batch, fake.detach(), embedding.detach(), runtime)
    terms |= generator_step(state, batch, fake, embedding, runtime)
    assert all(value.isfinite() for value in terms.values())
    assert "loss_r1" in terms
    assert ("loss_features" in terms) == (preset == "paper")


def test_data_of_another_size_are_refused_with_the_setting_to_change(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"faces of 64 px.*--set image_size=64"):
        next(fit(make_config("modern", {"runtime.num_threads": 1}), data))


def test_speech_that_is_too_short_for_the_window_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"the model needs 2.0 s.*speech_window_s"):
        next(fit(config(speech_window_s=2.0), data))


def test_a_single_identity_is_refused(data: Dataset) -> None:
    alone = dataclasses.replace(data, identity=np.zeros_like(data.identity))
    with pytest.raises(DataError, match="two identities"):
        next(fit(config(), alone))


@pytest.fixture(scope="module")
def kept(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    *_, last = fit(config(epochs=1), data)
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    last.save(folder)
    return folder


def copy_of(kept: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in kept.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_a_checkpoint_holds_json_and_safetensors_only(kept: Path) -> None:
    assert sorted(file.name for file in kept.iterdir()) == [
        "model.json",
        "model.safetensors",
        "training.json",
        "training.safetensors",
    ]
    for name in ("model.json", "training.json"):
        json.loads((kept / name).read_text())


def test_resuming_with_another_configuration_says_what_differs(kept: Path, data: Dataset) -> None:
    with pytest.raises(CheckpointError, match=r"batch_size is 8 there and 4 here"):
        next(fit(config(epochs=2, batch_size=4), data, kept))


def test_more_epochs_and_another_number_of_threads_are_no_other_configuration(
    kept: Path, data: Dataset
) -> None:
    numbers = [epoch.number for epoch in fit(config(epochs=2, evaluation__max_pairs=16), data, kept)]
    assert numbers == [2]


def test_a_truncated_checkpoint_is_named(kept: Path, data: Dataset, tmp_path: Path) -> None:
    copy = copy_of(kept, tmp_path)
    content = (copy / "training.safetensors").read_bytes()
    (copy / "training.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"training\.safetensors is damaged.*older checkpoint"):
        next(fit(config(epochs=2), data, copy))


def test_a_missing_and_an_unknown_tensor_are_both_named(kept: Path, tmp_path: Path) -> None:
    copy = copy_of(kept, tmp_path)
    tensors = load_file(copy / "model.safetensors")
    tensors["extra"] = tensors.pop("encoder.linear.bias")
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"encoder\.linear\.bias is missing; extra is not part"):
        load_model(copy)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model\.json"):
        load_model(tmp_path)


def test_an_export_draws_what_the_checkpoint_draws(kept: Path, data: Dataset, tmp_path: Path) -> None:
    export_model(kept, tmp_path / "export")
    speech = np.asarray(data.speech[:3])
    one, other = (draw_faces(load_model(folder), speech) for folder in (kept, tmp_path / "export"))
    assert torch.equal(one, other)
    assert sorted(file.name for file in (tmp_path / "export").iterdir()) == ["model.json", "model.safetensors"]


def test_a_face_does_not_depend_on_the_faces_drawn_with_it(kept: Path, data: Dataset) -> None:
    model = load_model(kept)
    together = draw_faces(model, np.asarray(data.speech[:5]))
    alone = draw_faces(model, np.asarray(data.speech[2:3]))
    torch.testing.assert_close(together[2:3], alone, rtol=0, atol=1e-5)
