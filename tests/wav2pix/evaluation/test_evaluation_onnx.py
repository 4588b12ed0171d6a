"""Networks that a user brings: what they give is used rightly, and what is none is refused in one line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.wav2pix.evaluation.onnx_models import write_embedder, write_landmarks, write_maps
from wav2pix.batches import faces_to_tensor
from wav2pix.data import Dataset, open_dataset
from wav2pix.errors import Wav2PixError
from wav2pix.evaluation.detection import LandmarkFinder, lie_as_in_a_face
from wav2pix.evaluation.onnx_embedder import OnnxEmbedder

# Shares of a picture: 17 along the jaw, 10 brows, 9 nose, 12 eyes, 20 mouth.
JAW = np.stack([np.linspace(0.2, 0.8, 17), 0.9 - 0.5 * np.linspace(-1, 1, 17) ** 2], axis=1)
FACE = np.concatenate(
    [
        JAW,
        np.stack([np.linspace(0.25, 0.75, 10), np.full(10, 0.3)], axis=1),
        np.stack([np.full(9, 0.5), np.linspace(0.4, 0.6, 9)], axis=1),
        np.tile([[0.35, 0.4]], (6, 1)),
        np.tile([[0.65, 0.4]], (6, 1)),
        np.stack([np.linspace(0.4, 0.6, 20), np.full(20, 0.75)], axis=1),
    ]
)
FACE[30] = (0.5, 0.58)


@pytest.fixture(scope="module")
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


@pytest.fixture(scope="module")
def half_red(size: int = 32) -> torch.Tensor:
    """One picture: black on the left, red on the right."""
    face = np.zeros((1, 32, 32, 3), np.uint8)
    face[:, :, 16:, 0] = 255
    return faces_to_tensor(face)


def test_pictures_reach_the_network_as_arcface_has_them(tmp_path: Path, half_red: torch.Tensor) -> None:
    embedder = OnnxEmbedder(write_embedder(tmp_path / "net.onnx"))
    (features,) = embedder.embed(half_red).reshape(1, 3, 8, 8)
    assert features[0, :, 4:].eq(1).all() and features[0, :, :4].eq(-1).all()
    assert features[1:].eq(-1).all()


def test_colours_and_scale_can_be_told(tmp_path: Path, half_red: torch.Tensor) -> None:
    path = write_embedder(tmp_path / "net.onnx")
    embedder = OnnxEmbedder(path, channels="bgr", mean=0.0, scale=1 / 255)
    (features,) = embedder.embed(half_red).reshape(1, 3, 8, 8)
    assert features[2, :, 4:] == pytest.approx(1) and features[:2].eq(0).all()


@pytest.mark.parametrize(("size", "asked", "used"), [(32, None, 32), (None, None, 112), (None, 112, 112)])
def test_the_size_is_that_of_the_file_or_that_of_arcface(
    size: int | None, asked: int | None, used: int, tmp_path: Path, half_red: torch.Tensor
) -> None:
    embedder = OnnxEmbedder(write_embedder(tmp_path / "net.onnx", size), size=asked)
    assert embedder._network.size == used
    assert embedder.embed(half_red).shape == (1, 192)


def test_the_name_says_which_file_made_the_figures(tmp_path: Path) -> None:
    one = OnnxEmbedder(write_embedder(tmp_path / "net.onnx")).name
    assert one.startswith("net.onnx (SHA-256 ") and one.endswith("192 features")
    other = OnnxEmbedder(write_embedder(tmp_path / "net.onnx", 64)).name
    assert one != other


def test_a_face_belongs_to_the_identity_with_the_nearest_mean(data: Dataset, tmp_path: Path) -> None:
    embedder = OnnxEmbedder(write_embedder(tmp_path / "net.onnx"))
    rows = data.indices("train")[::4]
    scores = embedder.scorer(data)(embedder.embed(faces_to_tensor(data.faces[data.face[rows]])))
    assert scores.shape == (len(rows), len(data.identities))
    assert np.mean(scores.argmax(dim=1).numpy() == data.identity[rows]) > 0.9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "no ONNX model that OpenCV can run"),
        (b"this is text\n" * 40, "no ONNX model that OpenCV can run"),
    ],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(
    content: bytes | None, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Wav2PixError) as error:
        OnnxEmbedder(path)
    assert str(error.value).startswith(f"{path}: {message}") and "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_model_cut_in_half_is_refused(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(Wav2PixError, match="no ONNX model"):
        OnnxEmbedder(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 1}, "takes 1x1x32x32 numbers; a network of faces takes one RGB picture"),
        ({"side": 64}, "takes pictures of 64x32 px; faces here are square"),
    ],
)
def test_a_network_of_something_else_is_refused(changes: dict[str, int], message: str, tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "net.onnx", **changes)
    with pytest.raises(Wav2PixError) as error:
        OnnxEmbedder(path)
    assert f"{path}: {message}" in str(error.value)


def test_another_size_than_the_files_is_refused(tmp_path: Path) -> None:
    path = write_embedder(tmp_path / "net.onnx", 32)
    with pytest.raises(Wav2PixError, match="takes pictures of 32 px, not of 112"):
        OnnxEmbedder(path, size=112)


def test_a_network_that_gives_no_vector_is_refused(tmp_path: Path) -> None:
    path = write_maps(tmp_path / "maps.onnx")
    with pytest.raises(Wav2PixError, match="gives 1x68x16x16 numbers for a picture; a face embedder gives one"):
        OnnxEmbedder(path)


def square(left: int, top: int) -> np.ndarray:
    """A black picture with a white square, as a model of :func:`write_landmarks` wants it."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[top : top + 16, left : left + 16] = 255
    return picture


def test_landmarks_are_found_where_they_lie_as_in_a_face(tmp_path: Path) -> None:
    finder = LandmarkFinder(write_landmarks(tmp_path / "marks.onnx", FACE))
    pictures = [square(24, 24), square(48, 24), square(26, 20)]  # the second puts half of them outside
    assert finder.found(np.stack(pictures)).tolist() == [True, False, True]


@pytest.mark.parametrize(("follows", "found"), [(0.0, False), (0.4, False), (0.7, True), (1.3, True)])
def test_landmarks_that_do_not_go_along_with_the_picture_are_none(
    tmp_path: Path, follows: float, found: bool
) -> None:
    finder = LandmarkFinder(write_landmarks(tmp_path / "marks.onnx", FACE, follows))
    assert finder.found(square(24, 24)[None]).tolist() == [found]


def test_landmarks_may_be_in_pixels(tmp_path: Path) -> None:
    finder = LandmarkFinder(write_landmarks(tmp_path / "marks.onnx", FACE * 64))
    assert finder.found(square(24, 24)[None]).all()


def test_landmarks_may_be_maps(tmp_path: Path) -> None:
    finder = LandmarkFinder(write_maps(tmp_path / "maps.onnx"))
    face = np.zeros((1, 64, 64, 3), np.uint8)
    cv2.rectangle(face[0], (40, 8), (43, 11), (255, 255, 255), -1)
    assert finder._points(face)[0] == pytest.approx((10.5 / 16, 2.5 / 16))
    assert not finder.found(face).any()  # all in one place


def test_a_model_of_other_landmarks_is_refused(tmp_path: Path) -> None:
    path = write_landmarks(tmp_path / "five.onnx", FACE, num=10)
    with pytest.raises(
        Wav2PixError, match="gives 1x10 numbers for a picture; a model of 68 landmarks gives 136"
    ):
        LandmarkFinder(path)


def turned(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (FACE - 0.5) @ matrix.T * 0.8 + 0.5


@pytest.mark.parametrize("points", [FACE, turned(30), turned(-30), FACE * 0.5 + 0.25])
def test_a_face_that_is_turned_or_small_is_a_face(points: np.ndarray) -> None:
    assert lie_as_in_a_face(points)


@pytest.mark.parametrize(
    "points",
    [
        1 - FACE,  # upside down
        FACE * (-1, 1) + (1, 0),  # left and right of the order exchanged
        turned(90),
        FACE + 0.5,  # out of the picture
        FACE * 0.2,  # too small to tell
        np.full((68, 2), 0.5),
        np.full((68, 2), np.nan),
    ],
)
def test_points_that_are_no_face_are_none(points: np.ndarray) -> None:
    assert not lie_as_in_a_face(points)
