"""Tiny ONNX models, written field by field: no package that writes them is needed.

The numbers are those of onnx.proto: ModelProto.graph is field 7, GraphProto.node 1, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

Fields = Sequence[tuple[int, "int | bytes"]]


def write_embedder(path: Path, size: int | None = 32, channels: int = 3, side: int | None = None) -> Path:
    """A network that gives the mean of each eighth by eighth of a picture: 3 x 8 x 8 numbers at any size.

    Args:
        size: of the picture; None: left open, and then it is 112.
        side: the width where it is another than the height.
    """
    cell = (size or 112) // 8
    nodes = [
        node("AveragePool", ["face"], "cells", {"kernel_shape": [cell, cell], "strides": [cell, cell]}),
        node("Flatten", ["cells"], "features", {"axis": 1}),
    ]
    return write_model(path, nodes, [1, channels, size or 0, side or size or 0], [1, 0])


def write_landmarks(path: Path, points: np.ndarray, follows: float = 1.0, num: int = 136) -> Path:
    """A network that puts points around the white square of 16 px in a black picture of 64 px.

    Args:
        points: (68, 2), as they are for a square in the middle; from 0 to 1, or in pixels.
        follows: how far they go when the square does; 0: they are the same for every picture.
        num: how many numbers it gives.
    """
    places = (np.arange(64, dtype=np.float32) + 0.5) / 64 - 0.5
    unit = follows * (64 if points.max() > 2 else 1) / (3 * 16 * 16)
    weight = np.zeros((num, 3, 64, 64), np.float32)
    weight[0::2] = places * unit
    weight[1::2] = places[:, None] * unit
    nodes = [
        node("Flatten", ["face"], "flat", {"axis": 1}),
        node("Gemm", ["flat", "weight", "bias"], "points", {"transB": 1}),
    ]
    bias = points.reshape(-1)[:num].astype(np.float32)
    weights = {"weight": weight.reshape(num, -1), "bias": bias}
    return write_model(path, nodes, [1, 3, 64, 64], [1, num], weights, output="points")


def write_maps(path: Path) -> Path:
    """A network that gives 68 maps of 16x16, each highest where a picture of 64 px is brightest."""
    weight = np.ones((68, 3, 1, 1), np.float32)
    nodes = [
        node("AveragePool", ["face"], "small", {"kernel_shape": [4, 4], "strides": [4, 4]}),
        node("Conv", ["small", "weight"], "maps", {"kernel_shape": [1, 1]}),
    ]
    return write_model(path, nodes, [1, 3, 64, 64], [1, 68, 16, 16], {"weight": weight}, output="maps")


def write_model(
    path: Path,
    nodes: Sequence[bytes],
    given: Sequence[int],
    gives: Sequence[int],
    weights: dict[str, np.ndarray] | None = None,
    output: str = "features",
) -> Path:
    """Write a model of one input, ``face``, and one output."""
    graph = message(
        [(1, body) for body in nodes]
        + [(2, b"tiny")]
        + [(5, tensor(name, values)) for name, values in (weights or {}).items()]
        + [(11, value_info("face", given)), (12, value_info(output, gives))]
    )
    opset = message([(1, b""), (2, 13)])
    path.write_bytes(message([(1, 7), (7, graph), (8, opset)]))
    return path


def node(kind: str, inputs: Sequence[str], output: str, attributes: dict[str, int | list[int]]) -> bytes:
    fields: list[tuple[int, int | bytes]] = [(1, name.encode()) for name in inputs]
    fields += [(2, output.encode()), (4, kind.encode())]
    for name, value in attributes.items():
        numbers: Fields = [(8, one) for one in value] if isinstance(value, list) else [(3, value)]
        kind_of = (20, 7 if isinstance(value, list) else 2)
        fields.append((5, message([(1, name.encode()), *numbers, kind_of])))
    return message(fields)


def tensor(name: str, values: np.ndarray) -> bytes:
    sides: Fields = [(1, side) for side in values.shape]
    return message([*sides, (2, 1), (8, name.encode()), (9, values.astype("<f4").tobytes())])


def value_info(name: str, shape: Sequence[int]) -> bytes:
    # A side that is left open has a name in place of a number.
    sides: Fields = [(1, message([(1, side)] if side else [(2, b"side")])) for side in shape]
    kind = message([(1, message([(1, 1), (2, message(sides))]))])
    return message([(1, name.encode()), (2, kind)])


def message(fields: Fields) -> bytes:
    """A protocol buffer message."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        else:
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
    return b"".join(parts)


def varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
