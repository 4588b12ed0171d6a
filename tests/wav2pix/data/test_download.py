"""Videos from a server: fetched once, completed after a broken connection, and clear words where it fails.

The server is one on this machine, so that yt-dlp does everything as it would elsewhere.
"""

from __future__ import annotations

import contextlib
import csv
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.wav2pix.data import clips
from wav2pix.data.videos import download
from wav2pix.data.videos.download import DownloadFailed, Manners, fetch, is_url, require_downloader
from wav2pix.errors import DataError

QUICK = Manners(pause_s=0, bytes_per_s=None, retries=1, timeout_s=5, deadline_s=60)


class Server:
    """Serves ``content`` under every name ending in .mp4 and remembers what was asked for.

    Attributes:
        asked: (method, path, Range header) of each request.
        break_at: cut the second answer with a body off after so many bytes. The first is a look at the page.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[tuple[str, str, str | None]] = []
        self.break_at: int | None = None
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def bodies(self) -> list[str | None]:
        """The Range header of each request for a body."""
        return [wanted for method, _, wanted in self.asked if method == "GET"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, *, with_body: bool) -> None:
                wanted = self.headers.get("Range")
                server.asked.append((self.command, self.path, wanted))
                if self.path.endswith(".html"):
                    links = "".join(f'<video src="{server.address}/{n}.mp4"></video>' for n in (1, 2))
                    return self._send(
                        200, f"<html><title>x</title>{links}</html>".encode(), "text/html", with_body
                    )
                if not self.path.endswith(".mp4") or "missing" in self.path:
                    return self._send(404, b"no such thing", "text/plain", with_body)
                first = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
                return self._send(206 if wanted else 200, server.content, "video/mp4", with_body, first)

            def _send(self, status: int, body: bytes, kind: str, with_body: bool, first: int = 0) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body) - first))
                self.send_header("Accept-Ranges", "bytes")
                if status == 206:
                    self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
                self.end_headers()
                if not with_body:
                    return
                broken = server.break_at is not None and len(server.bodies()) == 2
                with contextlib.suppress(ConnectionError):  # who only looks leaves early
                    self.wfile.write(body[first : server.break_at if broken else None])

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clips.write_clip(tmp_path_factory.mktemp("served") / "clip.mp4").read_bytes()


@pytest.fixture
def server(video: bytes) -> Iterator[Server]:
    server = Server(video)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join(timeout=10)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server on this machine is asked itself, whatever stands between here and the rest of the world."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_video_is_fetched_whole_and_a_second_time_nothing_is_asked_for(
    server: Server, video: bytes, tmp_path: Path
) -> None:
    url = f"{server.address}/talk.mp4"
    seen: list[tuple[int, int | None]] = []
    path = fetch(url, tmp_path / "cache", manners=QUICK, progress=lambda *state: seen.append(state))
    assert path.suffix == ".mp4" and path.read_bytes() == video
    assert seen[-1] == (len(video), len(video))
    with (tmp_path / "cache" / "archive.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [[url, path.name]]
    server.asked.clear()
    assert fetch(url, tmp_path / "cache", manners=QUICK) == path
    assert server.asked == []


def test_a_video_whose_file_is_gone_is_fetched_again(server: Server, video: bytes, tmp_path: Path) -> None:
    url = f"{server.address}/talk.mp4"
    fetch(url, tmp_path, manners=QUICK).unlink()
    assert fetch(url, tmp_path, manners=QUICK).read_bytes() == video


def test_two_videos_of_the_same_name_are_two_files(server: Server, tmp_path: Path) -> None:
    paths = [fetch(f"{server.address}/{folder}/talk.mp4", tmp_path, manners=QUICK) for folder in "ab"]
    assert paths[0] != paths[1]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    server: Server, video: bytes, tmp_path: Path
) -> None:
    server.break_at = len(video) // 2
    path = fetch(f"{server.address}/cut.mp4", tmp_path, manners=QUICK)
    assert path.read_bytes() == video
    assert _first_byte(server.bodies()[-1]) > len(video) // 4


def test_what_a_killed_download_left_is_completed_by_the_next(
    server: Server, video: bytes, tmp_path: Path
) -> None:
    server.break_at = len(video) // 2
    with pytest.raises(DownloadFailed):
        fetch(f"{server.address}/cut.mp4", tmp_path, manners=Manners(0, None, 0, 5, 60))
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    server.break_at = None
    assert fetch(f"{server.address}/cut.mp4", tmp_path, manners=QUICK).read_bytes() == video
    assert _first_byte(server.bodies()[-1]) > len(video) // 4


def test_a_video_that_is_not_there_says_so_in_one_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as caught:
        fetch(f"{server.address}/missing.mp4", tmp_path, manners=QUICK)
    assert str(caught.value) == "Unable to download webpage: HTTP Error 404: Not Found"


def test_a_server_that_is_not_there_says_so(server: Server, tmp_path: Path) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DownloadFailed, match="Connection refused"):
        fetch(f"{server.address}/talk.mp4", tmp_path, manners=QUICK)


def test_a_page_with_several_videos_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="several videos and not a single one: list the address of each"):
        fetch(f"{server.address}/page.html", tmp_path, manners=QUICK)


def test_a_download_that_takes_too_long_ends(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="not finished after 0 s: run it again to go on"):
        fetch(f"{server.address}/talk.mp4", tmp_path, manners=Manners(0, None, 0, 5, deadline_s=0))


def test_a_cache_that_cannot_be_written_is_an_error_of_the_user(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: cannot be written"):
        fetch(f"{server.address}/talk.mp4", tmp_path / "file", manners=QUICK)


def test_without_yt_dlp_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> Any:
        raise ModuleNotFoundError

    monkeypatch.setattr(download.importlib, "import_module", missing)
    with pytest.raises(DataError, match=r"pip install 'wav2pix\[download\]'"):
        require_downloader()


@pytest.mark.parametrize("text", ["https://x.org/a", "HTTP://x"])
def test_an_address_is_a_url(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize("text", ["file:///a.mp4", "a.mp4", "/http://a.mp4", "ftp://x/a.mp4"])
def test_anything_else_is_a_file(text: str) -> None:
    assert not is_url(text)


def _first_byte(wanted: str | None) -> int:
    assert wanted is not None, "the download began again"
    return int(wanted.removeprefix("bytes=").split("-")[0])
