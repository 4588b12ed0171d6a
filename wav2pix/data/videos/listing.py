"""The list of videos: a CSV file with a line for each video, or for each stretch of one.

    identity,video,start,end,gender,licence
    anna,clips/interview.mp4,0:30,12:00,f,CC-BY
    ben,https://videos.example/watch?v=1,,,,

``video`` (also called ``path`` or ``url``) is relative to the list; the columns after it are optional, their
order is free; times are seconds, m:ss or h:mm:ss.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from wav2pix.data.findings import Findings
from wav2pix.data.videos.download import is_url
from wav2pix.errors import DataError

_VIDEO = ("video", "path", "url")
_OPTIONAL = ("start", "end", "gender", "licence")
_COLUMNS = ("identity", "video", *_OPTIONAL)


@dataclass(frozen=True)
class Row:
    """A line of the list.

    Attributes:
        line: its number in the file, from 1.
        identity: who speaks.
        video: path or URL, as it stands there.
        start_s, end_s: the stretch; to the end of the video is infinite.
        gender, licence: as they stand there.
    """

    line: int
    identity: str
    video: str
    start_s: float
    end_s: float
    gender: str
    licence: str

    @property
    def is_url(self) -> bool:
        """Whether the video has to be downloaded."""
        return is_url(self.video)

    def overlaps(self, other: Row) -> bool:
        """Whether two stretches of one video have some of it in common."""
        return self.start_s < other.end_s and other.start_s < self.end_s


def read_listing(path: Path, findings: Findings) -> list[Row]:
    """The usable lines of a list; others are findings.

    Raises:
        DataError: it cannot be read, or its columns are not the right ones.
    """
    rows = []
    for line, cells in _read_lines(path):
        place = Path(f"{path}:{line}")
        try:
            rows.append(_parse(line, cells))
        except ValueError as error:
            findings.skipped("bad row", place, str(error))
    return _without_duplicates(path, rows, findings)


def _read_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells by column of each line that is not empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            columns = _check_columns(path, [name.strip().lower() for name in next(reader, [])])
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    if len(cells) != len(columns):
                        raise DataError(
                            f"{path}:{reader.line_num}: {len(cells)} cells where the first line names "
                            f"{len(columns)} columns; quote a cell that has a comma in it"
                        )
                    yield reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file: a CSV file with the columns {','.join(_COLUMNS)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: cannot be read as a CSV file ({reason})") from None


def _check_columns(path: Path, columns: list[str]) -> list[str]:
    named = ["video" if name in _VIDEO else name for name in columns]
    for given, name in zip(columns, named, strict=True):
        if name not in _COLUMNS:
            close = get_close_matches(given, (*_COLUMNS, *_VIDEO), 1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(_COLUMNS)}"
            raise DataError(f"{path}:1: no column '{given}'; {hint}")
        if named.count(name) > 1:
            raise DataError(f"{path}:1: the column '{name}' is there more than once")
    if missing := [name for name in ("identity", "video") if name not in named]:
        raise DataError(
            f"{path}:1: the column '{missing[0]}' is missing; the first line names the columns, "
            f"such as {','.join(_COLUMNS)}"
        )
    return named


def _parse(line: int, cells: dict[str, str]) -> Row:
    for name in ("identity", "video"):
        if not cells[name]:
            raise ValueError(f"no {name}")
    start_s = _parse_time("start", cells.get("start", ""), 0.0)
    end_s = _parse_time("end", cells.get("end", ""), math.inf)
    if end_s <= start_s:
        raise ValueError(f"the end, {cells['end']}, is not after the start, {cells.get('start') or 0}")
    gender, licence = (cells.get(name, "") for name in ("gender", "licence"))
    return Row(line, cells["identity"], cells["video"], start_s, end_s, gender, licence)


def _parse_time(name: str, text: str, otherwise: float) -> float:
    """Seconds of "90", "1:30" or "0:01:30"."""
    if not text:
        return otherwise
    parts = text.split(":")
    try:
        *whole, last = parts
        numbers = [float(int(part)) for part in whole] + [float(last)]
        if len(parts) <= 3 and all(0 <= n < math.inf for n in numbers) and all(n < 60 for n in numbers[1:]):
            seconds = 0.0
            for number in numbers:
                seconds = seconds * 60 + number
            return seconds
    except ValueError:
        pass
    raise ValueError(f"the {name}, '{text}', is no time: seconds, m:ss or h:mm:ss")


def _without_duplicates(path: Path, rows: list[Row], findings: Findings) -> list[Row]:
    """No stretch of a video twice, and none that is given to two people."""
    by_video: dict[object, list[Row]] = {}
    bad: set[int] = set()
    for row in rows:
        place, before = Path(f"{path}:{row.line}"), by_video.setdefault(video_key(path, row), [])
        twins = [other for other in before if row.overlaps(other)]
        strangers = [other for other in twins if other.identity != row.identity]
        if strangers:
            given = f"gives {row.video} to {row.identity} where line {strangers[0].line} gives it to"
            findings.skipped("two identities", place, f"{given} {strangers[0].identity}; both are left out")
            bad |= {row.line, *(other.line for other in strangers)}
        elif twins:
            same = (twins[0].start_s, twins[0].end_s) == (row.start_s, row.end_s)
            findings.skipped(
                "duplicate row", place, f"{'the same as' if same else 'overlaps with'} line {twins[0].line}"
            )
            bad.add(row.line)
            continue
        before.append(row)
    kept = [row for row in rows if row.line not in bad]
    for shared in by_video.values():
        people = sorted({row.identity for row in shared if row.line not in bad})
        if len(people) > 1:
            what = f"different stretches of it are of {' and '.join(people)}"
            findings.changed("shared video", Path(shared[0].video), what, "kept in one split")
    return kept


def video_key(listing: Path, row: Row) -> object:
    """The same for rows that have the same file or URL, whatever they call it."""
    if row.is_url:
        return row.video
    path = video_path(listing, row)
    try:
        about = path.stat()
    except OSError:
        return path
    return about.st_dev, about.st_ino


def video_path(listing: Path, row: Row) -> Path:
    """Where the video of a row is, which is no URL."""
    return listing.absolute().parent / Path(row.video).expanduser()
