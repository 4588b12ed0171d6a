"""Decoding videos: only what is needed, at the times at which it is shown, and past what is damaged.

Times are presentation times in seconds from the start of the file, whichever of its streams starts first; so
picture and sound have one clock, whatever the frame rate does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

Picture = npt.NDArray[np.uint8]
_EARLY_S = 0.0015  # containers that count milliseconds round times
_MAX_ERRORS = 1000
_MAX_BUFFER = 1 << 26  # bytes of packets kept until it is known whether they are needed
_MAX_TAINT_S = 10.0


class VideoError(Exception):
    """A video that gives nothing: ``kind`` is what it is counted as, the message says why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message


@dataclass
class Damage:
    """Where a stream could not be decoded, as stretches in seconds; a distance of up to a second joins them."""

    stretches: list[tuple[float, float]] = field(default_factory=list)

    def add(self, start_s: float, end_s: float) -> None:
        """Add a stretch that does not start before the last one."""
        if self.stretches and start_s <= self.stretches[-1][1] + 1:
            first, last = self.stretches[-1]
            self.stretches[-1] = (first, max(last, end_s))
        else:
            self.stretches.append((start_s, end_s))

    def touches(self, start_s: float, end_s: float) -> bool:
        """Whether any of a stretch is damaged."""
        return any(first < end_s and start_s < last for first, last in self.stretches)


@dataclass(frozen=True)
class Frame:
    """A picture of a video.

    Attributes:
        time_s: when it is shown.
        width, height: in pixels as it is shown, that is turned and with square pixels.
    """

    time_s: float
    width: int
    height: int
    _decoded: Any
    _turns: int

    def grey(self) -> Picture:
        """(height, width) grey."""
        return self._picture("gray")

    def rgb(self) -> Picture:
        """(height, width, 3) RGB."""
        return self._picture("rgb24")

    def _picture(self, form: str) -> Picture:
        lying = (self.height, self.width) if self._turns % 2 else (self.width, self.height)
        decoded = self._decoded.reformat(width=lying[0], height=lying[1], format=form)
        return np.ascontiguousarray(np.rot90(decoded.to_ndarray(), self._turns))


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """Open a file; what is wrong with it is a ``VideoError``."""
    av.logging.set_level(None)
    _check_file(path)
    try:
        container = av.open(str(path), metadata_errors="ignore", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError("not a video", f"not a video that can be read ({reason})") from None
    with container:
        yield container


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise VideoError("unreadable", "a folder, not a video")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise VideoError("unreadable", "no such file") from None
    except OSError as error:
        raise VideoError("unreadable", f"cannot be read ({error.strerror})") from None
    if size == 0:
        raise VideoError("unreadable", "the file is empty")


def find_picture(container: InputContainer) -> Any:
    """The first video stream that is not a cover."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise VideoError("no picture", "no video track")


def find_sound(container: InputContainer) -> Any:
    """The first audio stream."""
    if not container.streams.audio:
        raise VideoError("no sound", "no audio track")
    return container.streams.audio[0]


def zero_s(container: InputContainer) -> float:
    """The time that counts as 0."""
    return (container.start_time or 0) / av.time_base


def duration_s(path: Path) -> float:
    """Length of a video as its header says it; 0 if it says nothing or cannot be read."""
    try:
        with open_video(path) as container:
            return max(0.0, (container.duration or 0) / av.time_base)
    except VideoError:
        return 0.0


def seek(container: InputContainer, time_s: float) -> None:
    """Go to the last key frame before a time, where the file has an index for that."""
    if time_s > 0:
        try:
            container.seek(round((time_s + zero_s(container)) * av.time_base))
        except av.error.FFmpegError:
            return


def read_packets(
    container: InputContainer, stream: Any, damage: Damage, last_s: Callable[[], float]
) -> Iterator[Any]:
    """The packets of a stream, past what the container cannot make sense of; the last one is empty."""
    for _ in range(_MAX_ERRORS):
        try:
            yield from container.demux(stream)
            return
        except av.error.FFmpegError:
            damage.add(last_s(), last_s())


class FrameReader:
    """Frames at or soon after the wanted instants of a video.

    A frame before an instant is not decoded if no other refers to it, nor if a key frame comes between the two.
    What cannot be decoded, and what refers to it, is left out: damaged pictures are not concealed.

    Attributes:
        damage: what was left out.
        end_s: time of the last packet.
    """

    def __init__(self, container: InputContainer, progress: Callable[[float], None] = lambda _: None) -> None:
        self.damage = Damage()
        self.end_s = 0.0
        self._container = container
        self._stream = find_picture(container)
        self._tick_s = float(self._stream.time_base)
        self._zero_s = zero_s(container)
        self._progress = progress
        self._wanted_s = -np.inf
        self._tainted_until = -np.inf

    def read(self, instants: Sequence[float]) -> Iterator[tuple[int, Frame]]:
        """The number of an instant and the first frame at or after it, each frame once.

        An instant whose first frame comes only after the next instant gets none.

        Args:
            instants: ascending times in seconds.
        """
        wanted = [time - _EARLY_S for time in instants] + [np.inf]
        number = 0
        self._wanted_s = wanted[0]
        for decoded in self._decoded():
            time_s = self._time(decoded)
            if self._is_tainted(decoded, time_s) or time_s < wanted[number]:
                continue
            while time_s >= wanted[number + 1]:
                number += 1
            number += 1
            self._wanted_s = wanted[number]
            yield number - 1, self._frame(decoded, time_s)
            if number == len(instants):
                return

    def _decoded(self) -> Iterator[Any]:
        """Frames in the order of their times, all those from the wanted time on and a few before."""
        context = self._stream.codec_context
        context.thread_count = 1
        context.options = {"err_detect": "explode"}
        kept: list[Any] = []
        num_bytes, key_s = 0, -np.inf
        for packet in read_packets(self._container, self._stream, self.damage, lambda: self.end_s):
            time_s = self._packet_time(packet)
            self._note(time_s)
            if packet.is_keyframe and time_s is not None and time_s <= self._wanted_s:
                if kept and context.is_open:
                    context.flush_buffers()
                kept, num_bytes, key_s = [], 0, time_s
            if time_s is not None and time_s < key_s:
                continue  # shown before the key frame, and refers to what was left out
            kept.append(packet)
            num_bytes += packet.size
            if time_s is None or time_s >= self._wanted_s or num_bytes > _MAX_BUFFER:
                for one in kept:
                    yield from self._decode(one)
                kept, num_bytes = [], 0

    def _decode(self, packet: Any) -> list[Any]:
        time_s = self._packet_time(packet)
        needed = time_s is None or time_s >= self._wanted_s
        self._stream.codec_context.skip_frame = "DEFAULT" if needed else "NONREF"
        try:
            return list(packet.decode())
        except av.error.FFmpegError:
            self._taint(self.end_s if time_s is None else time_s)
            return []

    def _taint(self, time_s: float) -> None:
        self.damage.add(time_s, time_s)
        self._tainted_until = time_s + _MAX_TAINT_S

    def _is_tainted(self, decoded: Any, time_s: float) -> bool:
        if decoded.is_corrupt:
            self._taint(time_s)
        elif decoded.key_frame:
            self._tainted_until = -np.inf
        if time_s < self._tainted_until:
            self.damage.add(time_s, time_s)
            return True
        return False

    def _note(self, time_s: float | None) -> None:
        if time_s is not None and time_s > self.end_s:
            self.end_s = time_s
            self._progress(time_s)

    def _packet_time(self, packet: Any) -> float | None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        return None if stamp is None else stamp * self._tick_s - self._zero_s

    def _time(self, decoded: Any) -> float:
        return -np.inf if decoded.time is None else float(decoded.time) - self._zero_s

    def _frame(self, decoded: Any, time_s: float) -> Frame:
        aspect = self._stream.codec_context.sample_aspect_ratio
        width = round(decoded.width * float(aspect)) if aspect else decoded.width
        turns = round(decoded.rotation / 90) % 4
        width, height = (decoded.height, width) if turns % 2 else (width, decoded.height)
        return Frame(time_s, width, height, decoded, turns)


def resize(picture: Picture, side: int) -> Picture:
    """A square picture at another size, its pixels averaged where it gets smaller."""
    method = cv2.INTER_AREA if side < len(picture) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (side, side), interpolation=method), np.uint8)
