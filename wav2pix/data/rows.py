"""Arrays on disk that are written row by row."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_BLOCK = 1024


class RowFile:
    """An ``.npy`` file that grows: the bytes are those of ``np.save``, and the rows never in memory together.

    The header of that format has room for the number of rows, which is known only at the end.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.num_rows = 0
        self._row_shape = row_shape
        self._dtype = dtype
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._file.seek(0)
                self._write_header()

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Add (n, ...) rows."""
        assert rows.shape[1:] == self._row_shape, (rows.shape, self._row_shape)
        for start in range(0, len(rows), _BLOCK):
            self._file.write(rows[start : start + _BLOCK].astype(self._dtype, copy=False).tobytes())
        self.num_rows += len(rows)

    def _write_header(self) -> None:
        description = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.num_rows, *self._row_shape),
        }
        np.lib.format.write_array_header_1_0(self._file, description)


def write_rows(
    path: Path, rows: npt.NDArray[Any] | Iterable[npt.NDArray[Any]], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Write an array, or at least one block of its rows after the other, and map the file."""
    blocks = iter([rows] if isinstance(rows, np.ndarray) else rows)
    first = next(blocks)
    with RowFile(path, first.shape[1:], dtype) as file:
        for block in chain([first], blocks):
            file.append(block)
    mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
