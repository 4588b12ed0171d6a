"""The sound of a video on the clock of its pictures, as 16 kHz mono."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
import soxr

from wav2pix.audio import to_int16
from wav2pix.data.videos.decode import Damage, VideoError, find_sound, open_video, read_packets, seek, zero_s
from wav2pix.data.videos.settings import SAMPLE_RATE_HZ

Samples = npt.NDArray[np.int16]
_JITTER_S = 0.02  # stamps of containers vary by some milliseconds although no sample is missing
_BEYOND_S = 60.0
_BATCH_S = 1.0  # of sound that is resampled at once: a frame of it costs more in calls than in samples


@dataclass(frozen=True)
class Sound:
    """The sound of a stretch of a video.

    Attributes:
        start_s: time of the first sample.
        samples: (T,) int16 at 16 kHz; silence where the video has no sound.
        damage: what could not be decoded, and is silence here.
    """

    start_s: float
    samples: Samples
    damage: Damage

    @property
    def end_s(self) -> float:
        """Time after the last sample."""
        return self.start_s + len(self.samples) / SAMPLE_RATE_HZ

    def first_sample(self, middle_s: float, length: int) -> int:
        """Where the window of ``length`` samples around a time starts; it may be outside."""
        return round((middle_s - self.start_s) * SAMPLE_RATE_HZ) - length // 2


def extract_sound(path: Path, spool: Path, start_s: float = 0.0, end_s: float = float("inf")) -> Sound:
    """Decode the sound of a video into a file of raw samples, which is mapped.

    A sample is placed at the presentation time of its frame: gaps become silence, and neither stamps that jump
    nor a clock that is slightly wrong make the sound drift against the picture (by more than 20 ms).

    Args:
        path: the video.
        spool: the file of samples to write, int16 at 16 kHz.
        start_s, end_s: what is needed of it; a little more may be decoded.

    Raises:
        VideoError: there is no sound that can be decoded.
    """
    with open_video(path) as container, spool.open("w+b") as file:
        stream = find_sound(container)
        stream.codec_context.thread_count = 1
        track, damage = _Track(file), Damage()
        limit_s = (container.duration or 0) / av.time_base + _BEYOND_S if container.duration else float("inf")
        zero, tick_s = zero_s(container), float(stream.time_base)
        seek(container, start_s - 1)
        for packet in read_packets(container, stream, damage, lambda: track.end_s):
            due_s = track.end_s if packet.pts is None else packet.pts * tick_s - zero
            for frame in _decode(packet, damage, due_s):
                time_s = track.end_s if frame.time is None else frame.time - zero
                if start_s - frame.samples / frame.sample_rate <= time_s <= min(end_s, limit_s):
                    track.add(time_s, _mono(frame), frame.sample_rate)
            if track.end_s > end_s:
                break
        num_samples = track.finish()
    if num_samples == 0:
        raise VideoError("no sound", "its audio track holds no sound that can be decoded")
    samples = np.memmap(spool, dtype=np.int16, mode="r", shape=(num_samples,))
    return Sound(track.start_s, samples, damage)


def _decode(packet: Any, damage: Damage, time_s: float) -> list[Any]:
    try:
        return list(packet.decode())
    except av.error.FFmpegError:
        damage.add(time_s, time_s)
        return []


class _Track:
    """Puts pieces of sound at their times; resamples what is without a gap in one go."""

    def __init__(self, file: BinaryIO) -> None:
        self.start_s = 0.0
        self.end_s = 0.0
        self._file = file
        self._resampler: Any = None
        self._rate_hz = 0
        self._began_s = 0.0
        self._num_added = 0
        self._waiting: list[npt.NDArray[np.float32]] = []
        self._num_waiting = 0
        self._num_written = 0

    def add(self, time_s: float, samples: npt.NDArray[np.float32], rate_hz: int) -> None:
        if self._resampler is None:
            self.start_s = self.end_s = time_s
        if time_s < self.start_s - _JITTER_S:
            return
        if rate_hz != self._rate_hz or abs(time_s - self.end_s) > _JITTER_S:
            self._begin(time_s, rate_hz)
        self._waiting.append(samples)
        self._num_waiting += len(samples)
        self._num_added += len(samples)
        self.end_s = self._began_s + self._num_added / rate_hz
        if self._num_waiting >= _BATCH_S * rate_hz:
            self._feed()

    def finish(self) -> int:
        """Write what is left; the number of samples."""
        self._end()
        self._file.flush()
        return self._num_written

    def _begin(self, time_s: float, rate_hz: int) -> None:
        self._end()
        self._resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
        self._rate_hz, self._began_s, self._num_added = rate_hz, time_s, 0
        # A gap is a hole in the file and reads as zeros; what comes twice is overwritten.
        self._file.seek(2 * max(0, round((time_s - self.start_s) * SAMPLE_RATE_HZ)))

    def _end(self) -> None:
        if self._resampler is not None:
            self._feed(last=True)

    def _feed(self, *, last: bool = False) -> None:
        waiting = np.nan_to_num(np.concatenate([*self._waiting, np.zeros(0, np.float32)]))
        self._waiting, self._num_waiting = [], 0
        self._write(self._resampler.resample_chunk(waiting, last=last))

    def _write(self, samples: npt.NDArray[np.float32]) -> None:
        bounded = np.clip(samples, np.float32(-1), np.float32(32767 / 32768))
        self._file.write(to_int16(bounded).tobytes())
        self._num_written = max(self._num_written, self._file.tell() // 2)


def _mono(frame: Any) -> npt.NDArray[np.float32]:
    """(T,) float32 in [-1, 1], or what a damaged stream of floats holds: the mean of the channels."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    mono: npt.NDArray[np.float32] = samples.mean(axis=0, dtype=np.float32)
    if samples.dtype == np.uint8:
        return (mono - 128) / np.float32(128)
    if samples.dtype.kind == "i":
        return mono / np.float32(-float(np.iinfo(samples.dtype).min))
    return mono
