"""Networks that a user brings as ONNX files, run by OpenCV on one picture at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import cv2.utils.logging
import numpy as np
import numpy.typing as npt

from wav2pix.errors import Wav2PixError

Channels = Literal["rgb", "bgr"]


class OnnxNetwork:
    """A network that takes one picture.

    Attributes:
        path: the file.
        size: of the picture it takes, in pixels.
    """

    def __init__(self, path: Path, network: cv2.dnn.Net, size: int) -> None:
        self.path = path
        self.size = size
        self._network = network

    def run(
        self, face: npt.NDArray[np.uint8], *, mean: float, scale: float, channels: Channels = "rgb"
    ) -> npt.NDArray[np.float32]:
        """One (1, S, S, 3) uint8 RGB picture to what the network gives for ``(pixels - mean) * scale``.

        Raises:
            Wav2PixError: the network does not take such a picture.
        """
        # Shrinking by area keeps a picture of fine lines from flickering; enlarging is smooth by cubic.
        how = cv2.INTER_AREA if face.shape[1] > self.size else cv2.INTER_CUBIC
        picture = cv2.resize(face[0], (self.size, self.size), interpolation=how)
        if channels == "bgr":
            picture = picture[..., ::-1]
        blob = ((picture.astype(np.float32) - mean) * scale).transpose(2, 0, 1)[None]
        try:
            self._network.setInput(np.ascontiguousarray(blob, np.float32))
            given: npt.NDArray[np.float32] = np.asarray(self._network.forward(), np.float32)
        except cv2.error as error:
            raise Wav2PixError(
                f"{self.path}: does not take one RGB picture of {self.size} px ({_reason(error)})"
            ) from None
        if not np.isfinite(given).all():
            raise Wav2PixError(f"{self.path}: gives numbers that are not finite")
        return given


def open_onnx(path: Path, size: int | None, *, otherwise: int) -> OnnxNetwork:
    """Open a network.

    Args:
        path: an ONNX file.
        size: of the pictures it takes; None: what the file says.
        otherwise: the size where neither says.

    Raises:
        Wav2PixError: the file is missing, or no ONNX model that OpenCV can run.
    """
    cv2.setNumThreads(1)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Wav2PixError(f"{path}: cannot be read ({error.strerror})") from None
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what it would print is in the exception
    try:
        network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    except cv2.error as error:
        raise Wav2PixError(f"{path}: no ONNX model that OpenCV can run ({_reason(error)})") from None
    finally:
        cv2.utils.logging.setLogLevel(level)
    shape = input_shape(content)
    if shape is not None and (len(shape) != 4 or shape[1] not in (0, 3)):
        raise Wav2PixError(
            f"{path}: takes {'x'.join(str(side or '?') for side in shape)} numbers; a network of faces takes "
            "one RGB picture, 1x3xSIZExSIZE"
        )
    named = shape[2] if shape else 0
    if shape and shape[2] != shape[3]:
        raise Wav2PixError(f"{path}: takes pictures of {shape[3]}x{shape[2]} px; faces here are square")
    if size and named and size != named:
        raise Wav2PixError(f"{path}: takes pictures of {named} px, not of {size}")
    return OnnxNetwork(path, network, size or named or otherwise)


def input_shape(content: bytes) -> tuple[int, ...] | None:
    """The shape of a model's first input, 0 for a side that is left open; None where the file says nothing.

    OpenCV does not tell, so the few fields on the way are read from the protocol buffer:
    ModelProto.graph (7), GraphProto.input (11) and initializer (5), ValueInfoProto.name (1) and type (2),
    TypeProto.tensor_type (1), Tensor.shape (2), TensorShapeProto.dim (1), Dimension.dim_value (1).
    """
    try:
        (graph,) = _messages(content, 7)
        weights = {name for tensor in _messages(graph, 5) for name in _messages(tensor, 8)}
        for value in _messages(graph, 11):
            if weights.isdisjoint(_messages(value, 1)):
                (kind,) = _messages(value, 2)
                (tensor,) = _messages(kind, 1)
                shapes = _messages(tensor, 2)
                return tuple(_number(side, 1) for side in _messages(shapes[0], 1)) if shapes else None
    except (ValueError, IndexError):
        return None
    return None


def _messages(content: bytes, field: int) -> list[bytes]:
    return [value for number, value in _fields(content) if number == field and isinstance(value, bytes)]


def _number(content: bytes, field: int) -> int:
    return next((v for number, v in _fields(content) if number == field and isinstance(v, int)), 0)


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer message: numbers, and the bytes of what has a length."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        if key & 7 == 0:
            value, place = _varint(content, place)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            length, place = _varint(content, place)
        elif key & 7 in (1, 5):
            length = 8 if key & 7 == 1 else 4
        else:
            raise ValueError("no protocol buffer")
        yield key >> 3, content[place : place + length]
        place += length


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _reason(error: cv2.error) -> str:
    """What OpenCV expected: its message without the place in its source."""
    lines = [line.strip(" >'") for line in (error.err or str(error)).splitlines() if line.strip(" >'")]
    return lines[-1][:200] if lines else "no reason given"
