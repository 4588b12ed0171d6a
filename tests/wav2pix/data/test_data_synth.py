"""Synthetic speakers: the same everywhere, told apart by voice and by face, on recordings never heard."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from wav2pix.data import Dataset, open_dataset
from wav2pix.data.check import find_leaks
from wav2pix.data.format import content_hash_of
from wav2pix.data.synth import SynthArguments, synthesise
from wav2pix.errors import DataError

TINY_HASH = "0ce82d44fd20e7c043e8853fca0d5ca12192950b7ca74de33589899b37f49601"


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("ten") / "data"
    return synthesise(root, SynthArguments(identities=10, recordings=6, seconds=6, seed=1, image_size=64))


def test_the_bytes_are_the_same_on_every_machine(tiny_data: Path) -> None:
    data = open_dataset(tiny_data)
    assert content_hash_of(data) == TINY_HASH


def test_another_seed_makes_other_people(tiny_data: Path, tmp_path: Path) -> None:
    other = synthesise(tmp_path / "other", SynthArguments(3, 6, 4, 1, 64))
    data = open_dataset(tiny_data)
    assert other.content_hash != data.content_hash
    assert np.abs(other.faces[0].astype(int) - data.faces[0]).mean() > 10


def test_there_is_a_pair_for_each_second(ten: Dataset) -> None:
    assert len(ten) == len(ten.faces) == 10 * 6 * 6
    assert ten.speech.shape == (360, 16000)
    assert ten.faces.shape == (360, 64, 64, 3)
    assert len(ten.recordings) == 60
    assert ten.time_s[:7].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 0.5]


def test_the_splits_are_apart(ten: Dataset) -> None:
    assert find_leaks(ten) == []


def test_every_second_holds_speech_that_does_not_clip(ten: Dataset) -> None:
    speech = np.asarray(ten.speech).astype(float)
    level = np.sqrt((speech**2).mean(axis=1))
    assert level.min() > 200
    assert np.abs(speech).max() < 32700


def _log_spectra(speech: np.ndarray) -> np.ndarray:
    """(N, 40): mean log energy in 40 bands, without the level of the recording."""
    frames = np.lib.stride_tricks.sliding_window_view(speech / 32768.0, 400, axis=1)[:, ::160] * np.hanning(400)
    energy = np.abs(np.fft.rfft(frames, 512)) ** 2
    edges = np.unique(np.geomspace(3, 256, 41).astype(int))
    bands = np.log(np.add.reduceat(energy, edges, axis=2) + 1e-6).mean(axis=1)
    return bands - bands.mean(axis=1, keepdims=True)


def _accuracy(features: np.ndarray, data: Dataset) -> float:
    """Of a linear discriminant that learns from the training split, on the others."""
    known = data.split == "train"
    means = np.stack([features[known & (data.identity == k)].mean(axis=0) for k in range(10)])
    spread = np.cov((features[known] - means[data.identity[known]]).T)
    whiten = np.linalg.inv(spread + 0.01 * np.trace(spread) / len(spread) * np.eye(len(spread)))
    difference = features[~known, None] - means
    distance = np.einsum("nki,ij,nkj->nk", difference, whiten, difference)
    return float((distance.argmin(axis=1) == data.identity[~known]).mean())


def test_a_speaker_is_recognised_by_a_second_of_an_unheard_recording(ten: Dataset) -> None:
    assert _accuracy(_log_spectra(np.asarray(ten.speech)), ten) > 0.95


def test_a_speaker_is_recognised_by_the_face_in_an_unseen_recording(ten: Dataset) -> None:
    thumbs = np.asarray(ten.faces).reshape(360, 8, 8, 8, 8, 3).mean(axis=(2, 4)).reshape(360, -1)
    assert _accuracy(thumbs, ten) > 0.95


def test_the_mouth_opens_and_the_head_moves_within_a_recording(ten: Dataset) -> None:
    faces = np.asarray(ten.faces[:6]).astype(float)
    change = np.abs(np.diff(faces, axis=0)).mean(axis=(1, 2, 3))
    assert (change > 2).all()


def test_faces_of_128_pixels_are_made(tmp_path: Path) -> None:
    data = synthesise(tmp_path / "large", SynthArguments(2, 3, 1, 0, 128))
    assert data.faces.shape == (6, 128, 128, 3)


def test_the_demonstration_takes_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    synthesise(tmp_path / "quick", SynthArguments(4, 6, 16, 0, 64))
    assert time.process_time() - start < 8


def test_the_same_data_set_is_left_alone_when_it_may_exist(tmp_path: Path) -> None:
    arguments = SynthArguments(2, 3, 1, 0, 64)
    first = synthesise(tmp_path / "data", arguments)
    before = (tmp_path / "data" / "speech.npy").stat()
    again = synthesise(tmp_path / "data", arguments, exist_ok=True)
    assert (tmp_path / "data" / "speech.npy").stat() == before
    assert again.content_hash == first.content_hash


def test_another_data_set_in_its_place_is_told_apart(tmp_path: Path) -> None:
    synthesise(tmp_path / "data", SynthArguments(2, 3, 1, 0, 64))
    with pytest.raises(DataError, match="recordings 3, not 4; seed 0, not 5"):
        synthesise(tmp_path / "data", SynthArguments(2, 4, 1, 5, 64), exist_ok=True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (SynthArguments(1, 6, 4, 0, 64), "--identities must be at least 2"),
        (SynthArguments(2, 2, 4, 0, 64), "--recordings must be at least 3"),
        (SynthArguments(2, 3, 0, 0, 64), "--seconds must be at least 1"),
        (SynthArguments(2, 3, 1, 0, 96), "--image-size must be 64 or 128"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, arguments: SynthArguments, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        synthesise(tmp_path / "data", arguments)
    assert not (tmp_path / "data").exists()
