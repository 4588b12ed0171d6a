"""The published layout of Wav2Pix data: a folder for each identity with face crops and windows of speech.

SRC/<identity>/cropped_face_frame_<n>.png      any picture format that Pillow knows, whatever the name says
SRC/<identity>/preprocessed_frame_<n>.wav      any sound format that soundfile reads
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from wav2pix.audio import read_sound, to_int16
from wav2pix.data.findings import Findings
from wav2pix.errors import AudioError, DataError

_FACE = re.compile(r"cropped_face_frame_(\d+)\.\w+", re.ASCII)
_SPEECH = re.compile(r"preprocessed_frame_(\d+)\.\w+", re.ASCII)


@dataclass(frozen=True)
class Frame:
    """A face and the speech around it, as files."""

    identity: str
    number: int
    face: Path
    speech: Path


@dataclass(frozen=True)
class Decoded:
    """The content of a frame.

    Attributes:
        face: (S, S, 3) uint8.
        fingerprint: of all pixels before resizing; equal for files that hold the same picture.
        speech: (T,) int16, the mean of the channels at the rate of the file.
        sample_rate_hz, num_channels: of the file.
    """

    frame: Frame
    face: npt.NDArray[np.uint8]
    fingerprint: bytes
    speech: npt.NDArray[np.int16]
    sample_rate_hz: int
    num_channels: int


def find_frames(source: Path, findings: Findings) -> list[Frame]:
    """Every face that has speech, by identity and number.

    Raises:
        DataError: the folder is missing or holds nothing in this layout.
    """
    try:
        folders = sorted(path for path in source.iterdir() if path.is_dir() and path.name[0] != ".")
        frames = [frame for folder in folders for frame in _frames_of(folder, findings)]
    except FileNotFoundError:
        raise DataError(f"{source}: no such folder") from None
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
    if not frames:
        raise DataError(
            f"{source}: no pairs found; expected <identity>/cropped_face_frame_<n>.png "
            "and <identity>/preprocessed_frame_<n>.wav"
        )
    return frames


def decode_frames(
    frames: list[Frame], image_size: int, findings: Findings, progress: Callable[[int, int], None]
) -> list[Decoded]:
    """The content of all frames that can be read, in their order, decoded by several threads."""
    decoded = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:
        results = [threads.submit(_decode, frame, image_size) for frame in frames]
        try:
            for done, waiting in enumerate(results, start=1):
                result = waiting.result()
                if isinstance(result, _Unreadable):
                    findings.skipped(result.kind, result.path, result.reason)
                else:
                    decoded.append(result)
                progress(done, len(frames))
        finally:
            threads.shutdown(cancel_futures=True)
    return decoded


def read_recordings(path: Path) -> dict[tuple[str, int], str]:
    """The table ``identity,frame,recording`` that names the recording of each frame.

    Raises:
        DataError: the table is missing, or a line of it makes no sense.
    """
    table: dict[tuple[str, int], str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"identity", "frame", "recording"} <= set(reader.fieldnames or ()):
                raise DataError(f"{path}:1: the first line must name the columns identity,frame,recording")
            for row in reader:
                identity, frame, recording = row["identity"], row["frame"] or "", row["recording"]
                if not (identity and recording and frame.isdecimal()):
                    raise DataError(
                        f"{path}:{reader.line_num}: not an identity, a frame number and a recording"
                    )
                if table.setdefault((identity, int(frame)), recording) != recording:
                    raise DataError(
                        f"{path}:{reader.line_num}: frame {frame} of {identity} is in two recordings"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return table


def _frames_of(folder: Path, findings: Findings) -> Iterator[Frame]:
    faces = _numbered(folder, _FACE, findings)
    speech = _numbered(folder, _SPEECH, findings)
    for number in sorted(faces.keys() | speech.keys()):
        if number not in speech:
            findings.skipped("face without speech", faces[number], f"has no preprocessed_frame_{number}.wav")
        elif number not in faces:
            findings.skipped("speech without face", speech[number], f"has no cropped_face_frame_{number}.png")
        else:
            yield Frame(folder.name, number, faces[number], speech[number])


def _numbered(folder: Path, pattern: re.Pattern[str], findings: Findings) -> dict[int, Path]:
    files: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if match := pattern.fullmatch(path.name):
            first = files.setdefault(int(match[1]), path)
            if first != path:
                findings.skipped("frame twice", path, f"the same frame as {first.name}")
    return files


@dataclass(frozen=True)
class _Unreadable:
    kind: str
    path: Path
    reason: str


def _decode(frame: Frame, image_size: int) -> Decoded | _Unreadable:
    try:
        face, fingerprint = _read_face(frame.face, image_size)
    except Exception as error:  # a decoder raises whatever it stumbles over in a damaged file
        reason = (
            "the file is empty" if not _size(frame.face) else f"no picture that can be read ({_cause(error)})"
        )
        return _Unreadable("unreadable picture", frame.face, reason)
    try:
        sound = read_sound(frame.speech)
    except AudioError as error:
        return _Unreadable("unreadable sound", frame.speech, str(error).removeprefix(f"{frame.speech}: "))
    speech = to_int16(sound.samples)
    return Decoded(frame, face, fingerprint, speech, sound.sample_rate_hz, sound.num_channels)


def _read_face(path: Path, image_size: int) -> tuple[npt.NDArray[np.uint8], bytes]:
    """Picture and fingerprint; one that is not square is cropped about its middle."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        picture = image.convert("RGB")
    fingerprint = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).digest()
    small = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.LANCZOS)
    return np.asarray(small), fingerprint


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cause(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "of no known format"
    return getattr(error, "strerror", None) or str(error)
