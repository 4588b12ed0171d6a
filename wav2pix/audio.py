"""Reading speech from sound files."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from wav2pix.errors import AudioError

_UNKNOWN_SIZE = 0x7FFFF000  # programs that write to a pipe put this or more where the size belongs


@dataclass(frozen=True)
class Sound:
    """The content of a sound file.

    Attributes:
        samples: (T,) float32 in [-1, 1), the mean of the channels.
        sample_rate_hz: as in the file.
        num_channels: as in the file.
    """

    samples: npt.NDArray[np.float32]
    sample_rate_hz: int
    num_channels: int


def load_speech(path: Path, sample_rate_hz: int = 16000) -> npt.NDArray[np.float32]:
    """Speech from a file of any format, rate and number of channels that soundfile reads.

    Returns:
        (T,) float32 mono in [-1, 1) at ``sample_rate_hz``.

    Raises:
        AudioError: the file is missing, empty, cut off or no sound.
    """
    sound = read_sound(path)
    return resample(sound.samples, sound.sample_rate_hz, sample_rate_hz)


def read_sound(path: Path) -> Sound:
    """A sound file at its own rate, its channels averaged.

    Raises:
        AudioError: the file is missing, empty, cut off or no sound.
    """
    _check_file(path)
    try:
        samples, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, TypeError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError(f"{path}: no sound that can be read ({reason}); WAV, FLAC, OGG and MP3 can") from None
    if len(samples) == 0:
        raise AudioError(f"{path}: holds no sound (0 samples)")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds samples that are not numbers")
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    return Sound(_bounded(mono), int(sample_rate_hz), samples.shape[1])


def resample(samples: npt.NDArray[np.float32], from_hz: int, to_hz: int) -> npt.NDArray[np.float32]:
    """(T,) float32 at another rate; the same array if the rates agree."""
    if from_hz == to_hz:
        return samples
    return _bounded(np.asarray(soxr.resample(samples, from_hz, to_hz)))


def to_int16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Samples in [-1, 1) as 16-bit integers; those that came from 16 bits come back unchanged."""
    whole: npt.NDArray[np.int16] = np.rint(samples * np.float32(32768)).astype(np.int16)
    return whole


def to_float32(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """16-bit integers as samples in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768)


def _bounded(samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Float files and resampling can exceed full scale a little."""
    return np.clip(samples.astype(np.float32, copy=False), np.float32(-1), np.float32(32767 / 32768))


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise AudioError(f"{path}: the file is empty")
            missing = _missing_bytes(file, size)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file") from None
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror})") from None
    if missing:
        raise AudioError(f"{path}: cut off, {missing} bytes of sound are missing: copy the file again")


def _missing_bytes(file: BinaryIO, size: int) -> int:
    """How much shorter a WAV file is than its header says, which soundfile accepts; 0 for other formats."""
    header = file.read(12)
    if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
        return 0
    while len(chunk := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            return max(0, length - (size - file.tell())) if length < _UNKNOWN_SIZE else 0
        file.seek(length + length % 2, os.SEEK_CUR)
    return 0
