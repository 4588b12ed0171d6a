"""Speakers that are held out: nothing of them is learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from wav2pix.batches import PairLoader
from wav2pix.checkpoint import load_model
from wav2pix.config import TrainConfig, make_config
from wav2pix.data import Dataset, Pairs, open_dataset, write_dataset
from wav2pix.errors import CheckpointError, ConfigError
from wav2pix.speakers import learned_identities
from wav2pix.train import fit

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


@pytest.fixture(scope="module")
def without(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same data as if the second of the three speakers had never been recorded."""
    rows = np.flatnonzero(data.identity != 1)
    return write_dataset(
        tmp_path_factory.mktemp("without") / "data",
        speech=data.speech[rows],
        faces=data.faces,
        pairs=Pairs(
            face=data.face[rows],
            identity=np.array(data.identities)[data.identity[rows]],
            recording=np.array(data.recordings)[data.recording[rows]],
            time_s=data.time_s[rows],
            split=data.split[rows],
        ),
        sample_rate_hz=data.sample_rate_hz,
        source={"kind": "test"},
    )


def config(*held_out: str, **changes: object) -> TrainConfig:
    return make_config("small", TINY | {"hold_out_identities": held_out} | changes)


def test_a_run_that_holds_a_speaker_out_is_the_run_of_data_without_him(data: Dataset, without: Dataset) -> None:
    (held_out,) = fit(config(data.identities[1], epochs=1), data)
    (never_there,) = fit(config(epochs=1), without)
    expected = never_there._state.model.state_dict()
    for name, value in held_out._state.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    # The judge knows one speaker more; these do not ask it.
    for name in ("loss_generator", "loss_identity", "l1", "l1_mean_face", "diversity"):
        assert held_out.metrics[name] == pytest.approx(never_there.metrics[name], rel=1e-6), name


def test_no_batch_holds_speech_or_a_face_of_a_held_out_speaker(data: Dataset) -> None:
    settings = config(data.identities[0])
    rows = np.flatnonzero(data.identity == 0)
    faces = {data.faces[face].tobytes() for face in data.face[rows]}
    speech = {data.speech[row].tobytes() for row in rows}
    loader = PairLoader(settings, data, torch.device("cpu"))
    names = learned_identities(settings, data)
    face_of = {data.speech[row].tobytes(): data.identities[data.identity[row]] for row in range(len(data))}
    assert loader.num_pairs > 0
    for batch in loader.epoch(np.random.default_rng(0)):
        for shown in torch.cat([batch.faces, batch.wrong_faces]):
            pixels = ((shown.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
            assert pixels.tobytes() not in faces
        for window, identity in zip(batch.speech.numpy(), batch.identities.tolist(), strict=True):
            assert window.tobytes() not in speech
            assert names[identity] == face_of[window.tobytes()]


def test_a_model_does_not_know_whom_it_was_not_taught_and_says_so_after_loading(
    data: Dataset, tmp_path: Path
) -> None:
    (epoch,) = fit(config(data.identities[2], epochs=1), data)
    epoch.save(tmp_path / "kept")
    assert load_model(tmp_path / "kept").identities == data.identities[:2]


def test_a_resumed_run_goes_on_bit_for_bit_and_only_with_the_same_speakers(
    data: Dataset, tmp_path: Path
) -> None:
    name = data.identities[0]
    for epoch in fit(config(name, epochs=2), data):
        if epoch.number == 1:
            epoch.save(tmp_path / "kept")
    straight = epoch._state.model.state_dict()
    (resumed,) = fit(config(name, epochs=2), data, tmp_path / "kept")
    for key, value in resumed._state.model.state_dict().items():
        assert torch.equal(value, straight[key]), key
    with pytest.raises(CheckpointError, match="hold_out_identities"):
        next(fit(config(data.identities[1], epochs=2), data, tmp_path / "kept"))


def test_a_checkpoint_from_before_speakers_could_be_held_out_goes_on(data: Dataset, tmp_path: Path) -> None:
    (epoch,) = fit(config(epochs=1), data)
    epoch.save(tmp_path / "kept")
    file = tmp_path / "kept" / "model.json"
    tree = json.loads(file.read_text())
    del tree["config"]["hold_out_identities"]
    file.write_text(json.dumps(tree))
    (second,) = fit(config(epochs=2), data, tmp_path / "kept")
    assert second.number == 2


def test_the_order_in_which_speakers_are_named_makes_no_other_run() -> None:
    assert config("b", "a", "b") == config("a", "b")


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (["speaker-0"], r"no speaker 'speaker-0' in .*data; did you mean '"),
        (["XYZ"], r"no speaker 'XYZ' in .*data; there are "),
        (None, r"1 of the 3 speakers of .*data would be left; training needs two: hold out fewer"),
    ],
)
def test_speakers_that_cannot_be_held_out_are_refused_before_anything_is_trained(
    data: Dataset, held_out: list[str] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        next(fit(config(*(held_out or data.identities[:2])), data))
