"""Artifacts in a folder and in memory, and what only a folder can suffer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.orchestration.storage_suite")
from orchestration.errors import StorageError  # noqa: E402
from orchestration.storage import DiskFull, FolderStore, MemoryStore  # noqa: E402
from tests.orchestration.storage_suite import KEY, Harm, StorageSuite, checkpoint, files  # noqa: E402

__all__ = ["checkpoint"]


class TestFolderStore(StorageSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "store")

    @pytest.fixture
    def harm(self, store: FolderStore) -> Harm:
        def do(key: str, name: str, change: Callable[[bytes], bytes | None]) -> None:
            path = store.path(key) / name
            content = change(path.read_bytes())
            path.unlink() if content is None else path.write_bytes(content)

        return do


class TestMemoryStore(StorageSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def harm(self, store: MemoryStore) -> Harm:
        def do(key: str, name: str, change: Callable[[bytes], bytes | None]) -> None:
            files = store.artifacts[key][1]
            content = change(files.pop(name, b""))
            if name == "manifest.json":
                del store.artifacts[key]
            elif content is not None:
                files[name] = content

        return do


def test_a_process_killed_while_it_writes_leaves_the_old_artifact(checkpoint: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.put("a/b", checkpoint)
    (checkpoint / "new").write_text("new")
    writer = multiprocessing.get_context("fork").Process(target=_put_on_a_slow_disk, args=(store, checkpoint))
    writer.start()
    deadline = time.monotonic() + 30
    while not list((tmp_path / "store" / "a").glob(".*/new/new")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    assert writer.exitcode == -signal.SIGKILL, "it was to be killed in the middle"
    assert store.list("a") == ["a/b"]
    store.get("a/b", tmp_path / "back")
    assert set(files(tmp_path / "back")) == {"weights", "deep/state.json", "empty"}
    whole, left = sorted(store.stored("a"), key=lambda stored: stored.key, reverse=True)
    assert (whole.key, left.key) == ("a/b", "")
    left.remove()
    assert [path.name for path in (tmp_path / "store" / "a").iterdir()] == ["b"]


def _put_on_a_slow_disk(store: FolderStore, source: Path) -> None:
    os.fsync = lambda _: time.sleep(60)
    store.put("a/b", source)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_an_error_of_its_own_and_costs_nothing_that_was_there(
    small_disk: Path, checkpoint: Path, tmp_path: Path
) -> None:
    store = FolderStore(small_disk)
    store.put(KEY, checkpoint)
    (checkpoint / "weights").write_bytes(b"w" * 2_000_000)
    with pytest.raises(DiskFull, match="free space"):
        store.put(KEY, checkpoint)
    store.get(KEY, tmp_path / "back")
    assert (tmp_path / "back" / "weights").stat().st_size == 1000
    assert len(store.stored("trials")) == 1
    FolderStore(tmp_path / "large").put(KEY, checkpoint)
    with pytest.raises(DiskFull, match="free space"):
        FolderStore(tmp_path / "large").get(KEY, small_disk / "back")


def test_an_artifact_is_a_folder_without_a_manifest_of_its_own(checkpoint: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    with pytest.raises(StorageError, match="artifacts are folders"):
        store.put(KEY, checkpoint / "weights")
    (checkpoint / "deep" / "manifest.json").write_text("{}")
    with pytest.raises(StorageError, match=r"'deep/manifest.json' is no path"):
        store.put(KEY, checkpoint)


@pytest.mark.parametrize("content", ["", "[]", '{"files": {"../x": {"num_bytes": 0, "sha256": ""}}}'])
def test_an_unreadable_manifest_is_damage(checkpoint: Path, tmp_path: Path, content: str) -> None:
    store = FolderStore(tmp_path / "store")
    store.put(KEY, checkpoint)
    (store.path(KEY) / "manifest.json").write_text(content)
    with pytest.raises(StorageError, match="damaged"):
        store.get(KEY, tmp_path / "back")
