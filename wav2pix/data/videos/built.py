"""What a build of a data set from videos gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from wav2pix.data.format import Dataset


@dataclass(frozen=True)
class VideoSummary:
    """What a row of the list gave.

    Attributes:
        identity: who speaks.
        recording: name of the recording in the data set.
        name: name of the video's file, without its folder.
        seconds: length of what was looked at.
        pairs: instants that became pairs.
        dropped: instants that did not, by reason.
        problem: why the video gave nothing, or what was wrong with it; None if nothing was.
        licence, gender: as in the list, empty if it has none.
    """

    identity: str
    recording: str
    name: str
    seconds: float
    pairs: int
    dropped: dict[str, int]
    problem: str | None
    licence: str
    gender: str


@dataclass(frozen=True)
class Built:
    """A finished build.

    Attributes:
        data: the data set.
        videos: a summary of each usable row of the list, in its order.
        findings: number of findings by kind.
    """

    data: Dataset
    videos: tuple[VideoSummary, ...]
    findings: Counter[str]
