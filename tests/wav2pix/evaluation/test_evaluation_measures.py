"""The measures say what their names say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.wav2pix.evaluation.onnx_models import write_embedder
from wav2pix.batches import faces_to_tensor
from wav2pix.config import make_config
from wav2pix.data import Dataset, Pairs, open_dataset, write_dataset
from wav2pix.errors import DataError
from wav2pix.evaluation import DESCRIPTIONS, Evaluation, Measure
from wav2pix.evaluation.detection import HaarDetector
from wav2pix.evaluation.evaluate import evaluate
from wav2pix.evaluation.judge import Judge, get_judge
from wav2pix.evaluation.onnx_embedder import OnnxEmbedder
from wav2pix.evaluation.pixels import diversity, perceptual_distance, sharpness
from wav2pix.models import Wav2Pix


@pytest.fixture(scope="module")
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


@pytest.fixture(scope="module")
def judge(data: Dataset) -> Judge:
    return get_judge(data)


class Oracle(Wav2Pix):
    """Draws the very face that belongs to the speech, blurred or of another row if told so."""

    def __init__(
        self, data: Dataset, names: tuple[str, ...], blur: int = 1, order: np.ndarray | None = None
    ) -> None:
        super().__init__(make_config("small"), names)
        rows = np.arange(len(data)) if order is None else order
        self.faces = {data.speech[row].tobytes(): data.faces[data.face[rows[row]]] for row in range(len(data))}
        self.blur = blur

    def forward(self, speech: Tensor) -> Tensor:
        rows = [self.faces[window.tobytes()] for window in speech.numpy()]
        faces = faces_to_tensor(np.stack(rows))
        return F.avg_pool2d(faces, self.blur, 1, self.blur // 2, count_include_pad=False)


@pytest.fixture(scope="module")
def perfect(data: Dataset, judge: Judge) -> Evaluation:
    return evaluate(Oracle(data, data.identities), data, "all", judge, detector=HaarDetector())


def values(result: Evaluation) -> Mapping[str, float]:
    return {name: measure.value for name, measure in result.measures.items()}


def test_real_faces_reach_the_ceiling_and_shuffled_speech_falls_to_chance(perfect: Evaluation) -> None:
    metrics = perfect.metrics()
    assert metrics["identity_accuracy"] == metrics["identity_accuracy_ceiling"] > 0.9
    assert metrics["identity_accuracy_chance"] == pytest.approx(1 / 3)
    assert abs(metrics["identity_accuracy_shuffled"] - 1 / 3) < 0.02
    assert metrics["l1"] == 0 < metrics["l1_mean_face"]
    assert metrics["perceptual"] == pytest.approx(0, abs=1e-9) and metrics["perceptual_mean_face"] > 0.1
    assert metrics["sharpness"] == pytest.approx(1)
    assert metrics["diversity"] == pytest.approx(1)
    assert metrics["kid"] < 0.01
    assert metrics["fid"] == pytest.approx(0, abs=0.02)
    assert metrics["cosine_to_real"] == pytest.approx(1)
    assert metrics["recall_at_1"] == metrics["mean_rank"] == 1
    assert metrics["consistency"] == pytest.approx(metrics["consistency_real"])
    assert metrics["detection_rate"] == metrics["detection_rate_real"] > 0


def test_nearly_every_measure_has_an_interval_around_it(perfect: Evaluation) -> None:
    without = {name for name, measure in perfect.measures.items() if measure.low is None}
    assert without == {name for name in perfect.measures if name.endswith("_chance")}
    for name, measure in perfect.measures.items():
        if measure.low is not None and measure.high is not None:
            assert measure.low <= measure.value + 1e-9 and measure.value - 1e-9 <= measure.high, name
    control = perfect.measures["identity_accuracy_shuffled"]
    assert control.low is not None and control.high is not None
    assert control.low < 1 / 3 < control.high < 0.8


def test_every_measure_is_explained_and_in_the_order_of_the_list(perfect: Evaluation) -> None:
    assert list(perfect.measures) == [name for name in DESCRIPTIONS if name in perfect.measures]
    assert set(DESCRIPTIONS) - set(perfect.measures) == {"landmarks_rate", "landmarks_rate_real"}


def test_a_blurred_face_cannot_pass_for_a_sharp_one(data: Dataset, judge: Judge, perfect: Evaluation) -> None:
    blurred = values(evaluate(Oracle(data, data.identities, blur=7), data, "all", judge))
    assert blurred["sharpness"] < 0.3
    assert blurred["kid"] > 0.1
    assert blurred["fid"] > 10 * values(perfect)["fid"] + 0.1
    assert blurred["perceptual"] > 0.1


def test_faces_of_other_speakers_are_told_from_right_ones(data: Dataset, judge: Judge) -> None:
    # Each row gets a face of the next speaker: sharp, varied, and of the wrong person.
    order = np.argsort(data.identity, kind="stable")
    swapped = np.empty(len(data), np.int64)
    swapped[order] = np.roll(order, len(data) // 3)
    wrong = values(evaluate(Oracle(data, data.identities, order=swapped), data, "all", judge))
    assert wrong["identity_accuracy"] < 0.1 and wrong["recall_at_1"] < 0.1
    assert wrong["mean_rank"] > wrong["mean_rank_chance"]
    assert wrong["identity_rank"] > wrong["identity_rank_chance"]
    assert wrong["cosine_to_real"] < wrong["cosine_same"]
    assert wrong["sharpness"] == pytest.approx(1) and wrong["diversity"] == pytest.approx(1)


def test_one_face_for_everybody_is_at_chance_in_all_that_names_a_speaker(data: Dataset, judge: Judge) -> None:
    rows = np.zeros(len(data), np.int64)
    same = values(evaluate(Oracle(data, data.identities, order=rows), data, "all", judge))
    assert same["identity_accuracy"] == pytest.approx(1 / 3)
    assert same["identity_accuracy_shuffled"] == pytest.approx(1 / 3)
    assert same["recall_at_1"] == pytest.approx(same["recall_at_1_chance"])
    assert same["diversity"] == 0
    assert same["consistency_other_speakers"] == pytest.approx(same["consistency"])


def test_the_cases_are_the_pairs_with_their_scores(perfect: Evaluation, data: Dataset) -> None:
    cases = perfect.cases
    assert (cases.rows == np.arange(len(data))).all()
    assert (cases.real == cases.generated).all() and cases.real.dtype == np.uint8
    assert (cases.recording == data.recording).all() and (cases.identity == data.identity).all()
    for name, scores in cases.scores.items():
        assert scores.shape == (len(data),), name
    assert np.mean(cases.scores["l1"]) == perfect.measures["l1"].value
    assert perfect.num_pairs == len(data) and perfect.num_recordings == len(data.recordings)


def test_one_picture_a_person_has_no_diversity() -> None:
    faces = torch.rand(6, 3, 8, 8)
    identities = torch.tensor([0, 0, 0, 1, 1, 1])
    assert diversity(faces, identities) > 0.1
    assert diversity(faces[[0, 0, 0, 3, 3, 3]], identities) == 0


def test_a_flat_picture_has_no_sharpness() -> None:
    assert sharpness(torch.full((2, 3, 16, 16), 0.3)).tolist() == pytest.approx([0, 0], abs=1e-6)


def test_what_looks_alike_is_nearer_than_what_has_the_same_pixels_elsewhere(
    data: Dataset, judge: Judge
) -> None:
    face = faces_to_tensor(np.array(data.faces[:1]))
    lighter = (face + 0.2).clamp(-1, 1)
    other = faces_to_tensor(np.asarray(data.faces[data.face[data.identity == 2][:1]]))
    distances = [perceptual_distance(judge, face, picture).item() for picture in (face, lighter, other)]
    assert distances[0] == pytest.approx(0, abs=1e-9)
    assert distances[0] < distances[1] < distances[2]


def test_speakers_that_the_model_does_not_know_are_left_out_and_named(data: Dataset, judge: Judge) -> None:
    result = evaluate(Oracle(data, data.identities[:2]), data, "all", judge, num_bootstrap=0)
    assert result.unknown_identities == data.identities[2:]
    assert result.identities == data.identities[:2]
    assert result.num_pairs == int((data.identity < 2).sum())
    assert result.measures["identity_accuracy_chance"] == Measure(0.5)


def test_unseen_speakers_are_measured_among_themselves(data: Dataset, judge: Judge) -> None:
    model = Oracle(data, data.identities[:1])
    result = evaluate(model, data, "test", judge, speakers="unseen", num_bootstrap=0)
    assert result.speakers == "unseen" and result.unknown_identities == ()
    assert result.identities == data.identities[1:]
    assert result.measures["identity_accuracy_chance"] == Measure(0.5)
    assert result.measures["identity_accuracy"].value > 0.9
    # A mean face of their own is nothing that the model could have learned.
    known = evaluate(Oracle(data, data.identities), data, "test", judge, num_bootstrap=0)
    assert result.measures["l1_mean_face"].value > known.measures["l1_mean_face"].value


def test_where_every_speaker_is_known_none_is_unseen(data: Dataset, judge: Judge) -> None:
    with pytest.raises(
        DataError, match="no pair of split 'test' is of a speaker that the model was not trained"
    ):
        evaluate(Oracle(data, data.identities), data, "test", judge, speakers="unseen")


def test_shorter_speech_is_measured_and_impossible_lengths_are_named(data: Dataset, judge: Judge) -> None:
    model = Wav2Pix(make_config("small"), data.identities)
    result = evaluate(model, data, "test", judge, lengths=(4, 0.3, 1), num_bootstrap=0, fid=False)
    assert list(result.by_length) == [0.3, 1] and result.length_s == 1
    assert result.by_length[1] == result.measures
    assert result.by_length[0.3]["l1_mean_face"] == result.measures["l1_mean_face"]
    assert result.by_length[0.3]["l1"] != result.measures["l1"]
    assert result.metrics()["l1_0.3s"] == result.by_length[0.3]["l1"].value
    assert [note for note in result.notes if note.startswith("4 s")] == [
        f"4 s of speech: the windows of {data.root} have 1 s"
    ]


def test_a_model_of_one_length_is_measured_at_that_alone(data: Dataset, judge: Judge) -> None:
    model = Wav2Pix(make_config("paper", {"image_size": 64}), data.identities)
    result = evaluate(model, data, "test", judge, lengths=(0.3, 1), max_pairs=8, num_bootstrap=0, fid=False)
    assert list(result.by_length) == [1] and result.num_pairs == 8
    assert "0.3 s of speech: this model takes exactly 1 s" in result.notes


def test_an_embedder_of_the_users_gives_the_features_and_its_name(
    data: Dataset, judge: Judge, tmp_path: Path
) -> None:
    embedder = OnnxEmbedder(write_embedder(tmp_path / "net.onnx"))
    model = Oracle(data, data.identities, blur=5)
    mine = evaluate(model, data, "test", embedder, num_bootstrap=0)
    own = evaluate(model, data, "test", judge, num_bootstrap=0)
    assert mine.features.startswith("net.onnx") and own.features.startswith("the data set's own judge")
    assert mine.measures["identity_accuracy_ceiling"].value > 0.9
    assert mine.measures["kid"] != own.measures["kid"]
    assert mine.measures["perceptual"] == own.measures["perceptual"]  # always by the judge, as its name says


def test_the_same_seed_gives_the_same_figures_and_torchs_random_numbers_stay(
    data: Dataset, judge: Judge
) -> None:
    model = Oracle(data, data.identities, blur=5)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = evaluate(model, data, "test", judge)
    assert torch.equal(torch.rand(3), expected)
    assert evaluate(model, data, "test", judge).measures == first.measures
    assert evaluate(model, data, "test", judge, seed=1).measures != first.measures


def lone(root: Path, data: Dataset, num_identities: int) -> Dataset:
    """A data set with one test recording of each of some speakers, and one face in each."""
    own = [np.flatnonzero(data.identity == identity)[:3] for identity in range(num_identities)]
    rows = np.concatenate(own)
    pairs = Pairs(
        face=np.arange(len(rows)),
        identity=np.array(data.identities)[data.identity[rows]],
        recording=np.array([f"r{index}" for index in range(len(rows))]),
        time_s=np.zeros(len(rows)),
        split=np.array(["train", "validation", "test"] * num_identities),
    )
    return write_dataset(
        root,
        speech=np.asarray(data.speech[rows]),
        faces=np.asarray(data.faces[data.face[rows]]),
        pairs=pairs,
        sample_rate_hz=data.sample_rate_hz,
        source={},
    )


@pytest.mark.parametrize("num_identities", [1, 2])
def test_a_split_too_small_for_a_measure_lacks_it_and_says_so(
    num_identities: int, data: Dataset, judge: Judge, tmp_path: Path
) -> None:
    small = lone(tmp_path / "small", data, num_identities)
    embedder = OnnxEmbedder(write_embedder(tmp_path / "net.onnx"))
    result = evaluate(Oracle(small, small.identities, blur=5), small, "test", embedder)
    assert {"diversity", "consistency", "cosine_same"} & result.measures.keys() == set()
    assert ("kid" in result.measures) == (num_identities == 2)
    assert all(np.isfinite(value) for value in result.metrics().values())
    json.dumps(result.metrics(), allow_nan=False)
    if num_identities == 1:
        assert result.measures["l1"].low is None
        assert "All pairs are of one recording: there are no intervals." in result.notes
        assert any(note.startswith("All pairs are of speaker") for note in result.notes)
    else:
        assert "The intervals rest on 2 recordings only." in result.notes


def test_the_judge_is_found_again_in_the_cache(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("wav2pix.evaluation.judge.NUM_STEPS", 4)
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
    monkeypatch.setattr("wav2pix.evaluation.judge.NUM_STEPS", 4)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    get_judge(data)
    assert torch.equal(torch.rand(3), expected)
