"""Which videos there are to work on, and which are finished already."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wav2pix.data.findings import Findings
from wav2pix.data.videos.decode import duration_s
from wav2pix.data.videos.download import DownloadFailed, fetch, require_downloader
from wav2pix.data.videos.listing import Row, video_key, video_path
from wav2pix.data.videos.part import PART_VERSION, PartFolder
from wav2pix.data.videos.settings import BuildSettings


@dataclass(frozen=True)
class Job:
    """A row of the list whose video is there.

    Attributes:
        row: of the list.
        recording: its name in the data set.
        video: its file.
        video_key: the same for stretches of the same video.
        folder: of its part.
    """

    row: Row
    recording: str
    video: Path
    video_key: object
    folder: PartFolder

    @property
    def name(self) -> str:
        """The file without its folder; for a download the address."""
        return self.row.video if self.row.is_url else self.video.name

    @property
    def stretch(self) -> tuple[float, float]:
        """Start and end in seconds; the end may be infinite."""
        return self.row.start_s, self.row.end_s

    def seconds(self) -> float:
        """Length of the stretch as the header of the video has it; 0 if it has none."""
        length = duration_s(self.video)
        return max(0.0, min(self.row.end_s, length) - self.row.start_s)


def name_recordings(rows: list[Row]) -> dict[int, str]:
    """The name of the recording of each row by its line: the identity and a number."""
    counts: dict[str, int] = {}
    names = {}
    for row in rows:
        number = counts.get(row.identity, 0)
        counts[row.identity] = number + 1
        names[row.line] = f"{row.identity}-{number:03d}"
    return names


def make_jobs(
    listing: Path, rows: list[Row], parts: Path, settings: BuildSettings, videos: dict[int, Path]
) -> list[Job]:
    """The jobs of the rows whose file is there, by line in ``videos``."""
    names = name_recordings(rows)
    common = settings.part_key()
    jobs = []
    for row in rows:
        if row.line in videos:
            video = videos[row.line]
            folder = PartFolder(parts / _part_name(row, video, common))
            jobs.append(Job(row, names[row.line], video, video_key(listing, row), folder))
    return jobs


def find_videos(
    listing: Path,
    rows: list[Row],
    cache: Path,
    findings: Findings,
    *,
    download: bool,
    say: Callable[[str], None],
) -> dict[int, Path]:
    """The file of each row by its line; URLs are downloaded if they may be, and those that fail left out.

    Whether a file is a video is found out when it is its turn.

    Raises:
        DataError: the downloader is not installed, or the disk refuses.
    """
    urls = [row for row in rows if row.is_url]
    if urls and download:
        require_downloader()
    found: dict[int, Path] = {}
    for row in rows:
        if not row.is_url:
            found[row.line] = video_path(listing, row)
            continue
        place = Path(f"{listing}:{row.line}")
        if not download:
            findings.skipped("not downloaded", place, f"{row.video} needs --download")
            continue
        say(f"Fetching {row.video} ({urls.index(row) + 1} of {len(urls)})")
        try:
            found[row.line] = fetch(row.video, cache)
        except DownloadFailed as error:
            findings.skipped("download", place, f"{row.video} could not be downloaded ({error})")
    return found


def _part_name(row: Row, video: Path, common: str) -> str:
    """Hash of all that the part depends on, so that another file or other settings are another part."""
    try:
        about = video.stat()
        state = [about.st_size, about.st_mtime_ns]
    except OSError:
        state = []
    end_s = None if math.isinf(row.end_s) else row.end_s
    key = [PART_VERSION, common, str(video.absolute()), state, row.start_s, end_s]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
