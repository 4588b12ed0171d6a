"""The instants of a video at which a pair is sought, and whether there is one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from wav2pix.data.videos.activity import sounds_like_speech
from wav2pix.data.videos.decode import Damage, Frame, Picture
from wav2pix.data.videos.detect import Detector
from wav2pix.data.videos.faces import take_face
from wav2pix.data.videos.settings import SAMPLE_RATE_HZ, BuildSettings
from wav2pix.data.videos.sound import Sound

TOO_NEAR = "too near the start or end"
_SLACK = 32  # samples by which a window may be moved inwards: times are rounded to milliseconds


@dataclass(frozen=True)
class Taken:
    """A pair: (S, S, 3) RGB, and where its window starts in the sound."""

    face: Picture
    first_sample: int


def instants_between(low_s: float, high_s: float, every_s: float) -> list[float]:
    """The multiples of ``every_s`` from ``low_s`` to ``high_s``, to the microsecond."""
    first, last = math.ceil((low_s - 1e-6) / every_s), math.floor((high_s + 1e-6) / every_s)
    return [round(number * every_s, 6) for number in range(first, last + 1)]


class Taker:
    """Takes the pairs of a stretch, and counts why others are not.

    Attributes:
        low_s, high_s: from where to where a whole window of sound is around an instant.
        dropped: number of instants by reason.
    """

    def __init__(
        self, sound: Sound, stretch: tuple[float, float], settings: BuildSettings, detector: Detector
    ) -> None:
        self.low_s = stretch[0] + settings.window_s / 2
        self.high_s = stretch[1] - settings.window_s / 2
        self.dropped: Counter[str] = Counter()
        self._sound = sound
        self._settings = settings
        self._detector = detector

    def take(self, frame: Frame) -> Taken | None:
        """The pair of a frame: its face, and the window of sound around its own time."""
        taken = self._try(frame)
        if isinstance(taken, str):
            self.dropped[taken] += 1
            return None
        return taken

    def miss(self, time_s: float, damage: Damage) -> None:
        """Count an instant that has no frame or no whole window."""
        half_s = self._settings.window_s / 2
        if damage.touches(time_s, time_s + self._settings.every_s) or self._sound.damage.touches(
            time_s - half_s, time_s + half_s
        ):
            reason = "damaged"
        else:
            reason = "no picture" if self.low_s <= time_s <= self.high_s else TOO_NEAR
        self.dropped[reason] += 1

    def _try(self, frame: Frame) -> Taken | str:
        first = self._first_sample(frame.time_s)
        if first is None:
            return TOO_NEAR
        if reason := self._wrong_with_the_window(frame.time_s, first):
            return reason
        face = take_face(frame, self._detector, self._settings)
        return face if isinstance(face, str) else Taken(face, first)

    def _first_sample(self, time_s: float) -> int | None:
        length = self._settings.window_samples
        slack_s = _SLACK / SAMPLE_RATE_HZ
        if not self.low_s - slack_s <= time_s <= self.high_s + slack_s:
            return None
        last = len(self._sound.samples) - length
        return min(max(0, self._sound.first_sample(time_s, length)), last) if last >= 0 else None

    def _wrong_with_the_window(self, time_s: float, first: int) -> str | None:
        half_s = self._settings.window_s / 2
        if self._sound.damage.touches(time_s - half_s, time_s + half_s):
            return "damaged"
        window = self._sound.samples[first : first + self._settings.window_samples]
        if not window.any():
            return "silence"
        if self._settings.voice_activity and not sounds_like_speech(window):
            return "no voice"
        return None
