"""Every artifact store behaves alike."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from orchestration.errors import StorageError
from orchestration.storage import ArtifactStore, FolderStore, MemoryStore


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return FolderStore(tmp_path / "store") if request.param == "folder" else MemoryStore()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights").write_bytes(b"w" * 1000)
    (folder / "deep" / "state.json").write_text("{}")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_as_it_was(store: ArtifactStore, checkpoint: Path, tmp_path: Path) -> None:
    store.put("trials/0001/checkpoints/epoch-0001", checkpoint)
    store.get("trials/0001/checkpoints/epoch-0001", tmp_path / "back")
    assert files(tmp_path / "back") == files(checkpoint)


def test_a_file_comes_back_as_it_was(store: ArtifactStore, checkpoint: Path, tmp_path: Path) -> None:
    store.put("trials/0001/error.txt", checkpoint / "weights")
    store.get("trials/0001/error.txt", tmp_path / "back" / "error.txt")
    assert (tmp_path / "back" / "error.txt").read_bytes() == b"w" * 1000


def test_putting_again_replaces_all_of_it(store: ArtifactStore, checkpoint: Path, tmp_path: Path) -> None:
    store.put("a/b", checkpoint)
    (checkpoint / "weights").unlink()
    store.put("a/b", checkpoint)
    store.get("a/b", tmp_path / "back")
    assert set(files(tmp_path / "back")) == {"deep/state.json"}


def test_the_source_may_change_afterwards(store: ArtifactStore, checkpoint: Path, tmp_path: Path) -> None:
    store.put("a/b", checkpoint)
    (checkpoint / "weights").write_bytes(b"other")
    store.get("a/b", tmp_path / "back")
    assert (tmp_path / "back" / "weights").read_bytes() == b"w" * 1000


def test_listing_names_what_is_directly_below_in_order(store: ArtifactStore, checkpoint: Path) -> None:
    for key in ("t/0002/x", "t/0010/x", "t/0001/x", "u/y"):
        store.put(key, checkpoint)
    assert store.list("t") == ["t/0001", "t/0002", "t/0010"]
    assert store.list("nowhere") == []


def test_what_is_deleted_is_gone_and_deleting_twice_is_fine(store: ArtifactStore, checkpoint: Path) -> None:
    store.put("a/b", checkpoint)
    store.put("a/c", checkpoint / "weights")
    for key in ("a/b", "a/b", "a/c", "a/never"):
        store.delete(key)
    assert store.list("a") == []


def test_what_is_not_there_is_an_error_that_names_it(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="a/b"):
        store.get("a/b", tmp_path / "back")


@pytest.mark.parametrize("key", ["../up", "/root", "a/../../b", ".hidden", "a/.b", ""])
def test_a_key_cannot_leave_the_store(store: ArtifactStore, checkpoint: Path, key: str) -> None:
    with pytest.raises(StorageError, match="no key"):
        store.put(key, checkpoint)


def test_a_process_killed_while_it_writes_leaves_the_old_artifact(checkpoint: Path, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.put("a/b", checkpoint)
    (checkpoint / "new").write_text("new")
    writer = multiprocessing.get_context("fork").Process(target=_put_on_a_slow_disk, args=(store, checkpoint))
    writer.start()
    deadline = time.monotonic() + 30
    while not list((tmp_path / "store" / "a").glob(".*/new")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    assert writer.exitcode == -signal.SIGKILL, "it was to be killed in the middle"
    assert store.list("a") == ["a/b"]
    store.get("a/b", tmp_path / "back")
    assert set(files(tmp_path / "back")) == {"weights", "deep/state.json"}


def _put_on_a_slow_disk(store: FolderStore, source: Path) -> None:
    os.fsync = lambda _: time.sleep(60)
    store.put("a/b", source)
