"""Videos that a list names by their address, fetched once and politely, by yt-dlp where it is installed.

Fetched files are kept in a folder with a table of what was fetched, ``archive.csv`` (url, file), so that no
video is ever asked for twice; what a killed or cut-off download left behind is completed and not begun again.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wav2pix.errors import DataError

ARCHIVE = "archive.csv"
_ONE_FILE = "b[height<=?720][ext=mp4]/b[height<=?720]/w"  # picture and sound together, which needs no ffmpeg
_TWO_STREAMS = "bv*[height<=?720][ext=mp4]+ba[ext=m4a]/"  # better where there is ffmpeg to join them
_UNFINISHED = (".part", ".ytdl", ".temp")
_NOISE = re.compile(
    r"\x1b\[[0-9;]*m|^ERROR: |^\[[\w:+-]+\] (\S+: )?(?=[A-Z])|\s*\(caused by .*|[;,.]? please report .*"
)


class DownloadFailed(DataError):
    """One video could not be fetched; the message is the reason alone, without the address."""


@dataclass(frozen=True)
class Manners:
    """How servers are treated.

    Attributes:
        pause_s: seconds of rest before each download.
        bytes_per_s: at most so many; None is no limit.
        retries: of a broken connection.
        timeout_s: for a server that says nothing.
        deadline_s: for a whole video.
    """

    pause_s: float = 3.0
    bytes_per_s: int | None = 4_000_000
    retries: int = 3
    timeout_s: float = 30.0
    deadline_s: float = 3600.0


def is_url(text: str) -> bool:
    """Whether a list means an address by it, and no file."""
    return text.lower().startswith(("http://", "https://"))


def require_downloader() -> None:
    """Raise unless downloads are possible; called before any work starts.

    Raises:
        DataError: yt-dlp is not installed.
    """
    _yt_dlp()


def fetch(
    url: str,
    cache: Path,
    *,
    manners: Manners | None = None,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Path:
    """The file of one video, fetched unless it is there already: 720 lines at most, MP4 where there is one.

    Args:
        url: of a video or of a page with exactly one.
        cache: folder of the fetched files; made where it is missing.
        manners: towards the server.
        progress: called with the bytes so far and in all, which may be unknown.

    Raises:
        DownloadFailed: the server does not give it, it is no single video, or it takes too long.
        DataError: yt-dlp is not installed, or ``cache`` cannot be written.
    """
    if known := _known(url, cache):
        return known
    downloader = _yt_dlp()
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    options = _options(cache / name, manners or Manners(), progress)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with downloader.YoutubeDL(options) as one:
            info = one.extract_info(url, download=False)
            if info is None or info.get("_type", "video") != "video":
                raise DownloadFailed("several videos and not a single one: list the address of each")
            one.process_ie_result(info, download=True)
        path = _finished(cache, name)
        _remember(url, path, cache)
    except downloader.utils.YoutubeDLError as error:
        raise DownloadFailed(_reason(error)) from None
    except OSError as error:
        raise DataError(
            f"{cache}: cannot be written ({error.strerror or error}): free space or permissions"
        ) from None
    return path


def _yt_dlp() -> Any:
    try:
        return importlib.import_module("yt_dlp")
    except ImportError:
        raise DataError(
            "downloads need yt-dlp, which is not installed: pip install 'wav2pix[download]'"
        ) from None


class _Silent:
    """yt-dlp's own lines go nowhere: what matters comes as an exception."""

    def debug(self, message: str) -> None: ...

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


def _options(target: Path, manners: Manners, progress: Callable[[int, int | None], None]) -> dict[str, Any]:
    start = time.monotonic()

    def follow(state: dict[str, Any]) -> None:
        if time.monotonic() - start > manners.deadline_s:
            raise DownloadFailed(f"not finished after {manners.deadline_s:g} s: run it again to go on")
        if (done := state.get("downloaded_bytes")) is not None:
            progress(done, state.get("total_bytes") or state.get("total_bytes_estimate"))

    return {
        "format": (_TWO_STREAMS if shutil.which("ffmpeg") else "") + _ONE_FILE,
        "outtmpl": f"{str(target).replace('%', '%%')}.%(ext)s",
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "playlist_items": "1",
        "continuedl": True,
        "overwrites": False,
        "retries": manners.retries,
        "fragment_retries": manners.retries,
        "extractor_retries": manners.retries,
        "socket_timeout": manners.timeout_s,
        "ratelimit": manners.bytes_per_s,
        "sleep_interval": manners.pause_s,
        "max_sleep_interval": manners.pause_s * 2,
        "sleep_interval_requests": manners.pause_s / 4,
        "progress_hooks": [follow],
        "logger": _Silent(),
        "noprogress": True,
        "quiet": True,
        "no_warnings": True,
        "cachedir": False,
        "color": "never",
    }


def _known(url: str, cache: Path) -> Path | None:
    """The file that was fetched before, if it is still there."""
    try:
        with (cache / ARCHIVE).open(newline="", encoding="utf-8") as file:
            names = {row[0]: row[1] for row in csv.reader(file) if len(row) == 2}
    except OSError:
        return None
    path = cache / Path(names[url]).name if url in names else None
    return path if path and path.is_file() else None


def _remember(url: str, path: Path, cache: Path) -> None:
    with (cache / ARCHIVE).open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerow((url, path.name))


def _finished(cache: Path, name: str) -> Path:
    found = [path for path in sorted(cache.glob(f"{name}.*")) if path.suffix not in _UNFINISHED]
    if not found:
        raise DownloadFailed("the server gave nothing that could be kept")
    return found[0]


def _reason(error: Exception) -> str:
    """The first line of yt-dlp's message without its colours, its module's name and its plea for reports."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    while (shorter := _NOISE.sub("", line).strip()) != line:
        line = shorter
    return line.rstrip(".") or type(error).__name__
