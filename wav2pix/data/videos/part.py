"""The pairs of one video, kept in a folder of its own until the data set is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wav2pix.data.rows import RowFile
from wav2pix.data.videos.decode import Damage, FrameReader, VideoError, open_video, seek
from wav2pix.data.videos.detect import Detector
from wav2pix.data.videos.instants import TOO_NEAR, Taker, instants_between
from wav2pix.data.videos.settings import BuildSettings
from wav2pix.data.videos.sound import extract_sound
from wav2pix.files import new_folder

PART_VERSION = 1


@dataclass(frozen=True)
class Part:
    """What a stretch of a video gave.

    Attributes:
        seconds: its length.
        times_s: of the faces, ascending.
        first_samples: where the window of each face starts in ``sound``.
        dropped: instants that gave no pair, by reason.
        problem: kind and text of why there are no pairs at all.
        damage: what of it could not be decoded, in words.
    """

    seconds: float
    times_s: tuple[float, ...]
    first_samples: tuple[int, ...]
    dropped: dict[str, int]
    problem: tuple[str, str] | None = None
    damage: str | None = None


@dataclass(frozen=True)
class PartFolder:
    """Where a part is."""

    root: Path

    @property
    def description(self) -> Path:
        return self.root / "part.json"

    @property
    def sound(self) -> Path:
        """Raw int16 samples."""
        return self.root / "sound.raw"

    @property
    def faces(self) -> Path:
        return self.root / "faces.npy"

    def read(self) -> Part | None:
        """The part, or None if it is not finished."""
        try:
            kept = json.loads(self.description.read_text(encoding="utf-8"))
            lists = {name: tuple(kept[name]) for name in ("times_s", "first_samples")}
            problem = tuple(kept["problem"]) if kept["problem"] else None
            return Part(**(kept | lists | {"problem": problem}))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def open_sound(self) -> npt.NDArray[np.int16]:
        """(T,) int16, mapped."""
        return np.memmap(self.sound, dtype=np.int16, mode="r")

    def open_faces(self) -> npt.NDArray[np.uint8]:
        """(N, S, S, 3) uint8, mapped."""
        faces: npt.NDArray[np.uint8] = np.load(self.faces, mmap_mode="r", allow_pickle=False)
        return faces


def make_part(
    video: Path,
    stretch: tuple[float, float],
    root: Path,
    settings: BuildSettings,
    detector: Detector,
    progress: Callable[[float], None] = lambda _: None,
) -> Part:
    """Take the pairs from a stretch of a video, and keep them in ``root`` completely or not at all.

    Args:
        video: the file.
        stretch: start and end in seconds; the end may be infinite.
        root: folder of the part.
        settings: what a pair needs.
        detector: of faces.
        progress: called with the time that has been reached, in seconds.

    Raises:
        OSError: the disk refuses.
    """
    with new_folder(root) as partial:
        folder = PartFolder(partial)
        try:
            part = _take_pairs(video, stretch, folder, settings, detector, progress)
        except VideoError as error:
            part = Part(0.0, (), (), {}, problem=(error.kind, error.message))
        if not part.times_s:  # nobody will ask for them
            for path in (folder.sound, folder.faces):
                path.unlink(missing_ok=True)
        folder.description.write_text(json.dumps(asdict(part)), encoding="utf-8")
    return part


def _take_pairs(
    video: Path,
    stretch: tuple[float, float],
    folder: PartFolder,
    settings: BuildSettings,
    detector: Detector,
    progress: Callable[[float], None],
) -> Part:
    start_s, end_s = stretch
    with open_video(video) as container:
        reader = FrameReader(container, progress)
        sound = extract_sound(video, folder.sound, start_s, end_s)
        whole = max(start_s, sound.start_s), min(end_s, sound.end_s)
        taker = Taker(sound, whole, settings, detector)
        seek(container, taker.low_s)
        instants = instants_between(taker.low_s, taker.high_s, settings.every_s)
        times, first_samples, seen = [], [], set()
        with RowFile(folder.faces, (settings.image_size, settings.image_size, 3), np.dtype("u1")) as faces:
            for number, frame in reader.read(instants):
                seen.add(instants[number])
                if (taken := taker.take(frame)) is not None:
                    faces.append(taken.face[None])
                    times.append(frame.time_s)
                    first_samples.append(taken.first_sample)
    length = min(end_s, max(sound.end_s, reader.end_s)) - start_s
    if length <= 0:
        raise VideoError("too short", f"ends before {start_s:g} s, where the list wants it to start")
    for time in instants_between(start_s, start_s + length - 0.001, settings.every_s):
        if time not in seen:
            taker.miss(time, reader.damage)
    dropped = dict(taker.dropped.most_common())
    return Part(
        seconds=round(length, 3),
        times_s=tuple(times),
        first_samples=tuple(first_samples),
        dropped=dropped,
        problem=None if times else _why_nothing(dropped, length, settings),
        damage=_describe_damage(reader.damage, sound.damage),
    )


def _why_nothing(dropped: dict[str, int], length: float, settings: BuildSettings) -> tuple[str, str]:
    """Kind and text."""
    if length < settings.window_s:
        return "too short", f"{length:.1f} s long, and a window takes {settings.window_s:g} s"
    reasons = {reason: count for reason, count in dropped.items() if reason != TOO_NEAR}
    if set(reasons) == {"no face"}:
        return "no face", f"no face at any of {reasons['no face']} instants"
    counts = ", ".join(f"{count} {reason}" for reason, count in (reasons or dropped).items())
    return "no pair", f"no instant gives a pair ({counts or 'none fits'})"


def _describe_damage(picture: Damage, sound: Damage) -> str | None:
    parts = [
        f"{what} {_spans(damage)}"
        for what, damage in (("picture", picture), ("sound", sound))
        if damage.stretches
    ]
    return f"cannot be decoded in places ({'; '.join(parts)})" if parts else None


def _spans(damage: Damage) -> str:
    spans = [f"{first:.1f} to {last:.1f} s" for first, last in damage.stretches]
    return ", ".join(spans[:3]) + (f" and {len(spans) - 3} more" if len(spans) > 3 else "")
