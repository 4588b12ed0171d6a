"""Artifacts that leave in the background: a folder and a store that is slow, away, or dies in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.errors import StorageError
from orchestration.folders import SweepFolder
from orchestration.storage import (
    Artifacts,
    DamagedArtifact,
    FolderStore,
    MemoryStore,
    MissingArtifact,
    StagedStore,
    StoreAway,
    open_store,
    opening,
    push,
    staged,
)

CHECKPOINTS = "trials/0007/checkpoints"


class Distant(MemoryStore):
    """A store that takes nothing while it is shut, and is away when told."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.away = False
        self.begun = threading.Event()
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise StoreAway("the store is away")

    def put(self, key: str, source: Path) -> None:
        self._ask(f"put {key[-4:]}")
        self.begun.set()
        assert self.open.wait(30)
        super().put(key, source)

    def get(self, key: str, target: Path, only: object = None) -> None:
        self._ask(f"get {key[-4:]}")
        super().get(key, target)

    def list(self, prefix: str) -> list[str]:
        self._ask("list")
        return super().list(prefix)

    def delete(self, key: str) -> None:
        self._ask(f"delete {key[-4:]}")
        super().delete(key)


@pytest.fixture
def remote() -> Distant:
    return Distant()


@pytest.fixture
def local(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "sweep")


@pytest.fixture
def store(local: FolderStore, remote: Distant, monkeypatch: pytest.MonkeyPatch) -> Iterator[StagedStore]:
    monkeypatch.setattr(staged, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(staged, "LONGEST_PAUSE_S", 0.1)
    store = StagedStore(local, remote)
    yield store
    remote.open.set()
    store.close(5)


@pytest.fixture
def content(tmp_path: Path) -> Callable[[str], Path]:
    """A folder with one file that says so."""

    def make(text: str) -> Path:
        folder = tmp_path / f"made-{text}"
        folder.mkdir(exist_ok=True)
        (folder / "file").write_text(text)
        return folder

    return make


Content = Callable[[str], Path]


def key(epoch: int) -> str:
    return f"{CHECKPOINTS}/epoch-{epoch:04d}"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def read(store: StagedStore, epoch: int, tmp_path: Path) -> str:
    target = tmp_path / f"read-{time.monotonic_ns()}"
    store.get(key(epoch), target)
    return (target / "file").read_text()


def test_nobody_waits_for_the_store_to_keep_or_to_read_the_newest(
    store: StagedStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    remote.open.clear()
    store.put(key(1), content("1"))
    until(remote.begun.is_set)
    store.put(key(2), content("2"))
    assert read(store, 2, tmp_path) == "2"
    assert store.list(CHECKPOINTS) == [key(1), key(2)]
    assert store.waiting == [key(1), key(2)]
    assert not store.flush(0.05)
    remote.open.set()
    assert store.flush(10)
    assert remote.list(CHECKPOINTS) == [key(1), key(2)]
    assert "get" not in "".join(remote.asked)


def test_the_newest_is_sent_first_and_the_superseded_never(
    store: StagedStore, remote: Distant, content: Content
) -> None:
    remote.open.clear()
    store.put(key(1), content("1"))
    until(remote.begun.is_set)
    for epoch in (2, 3, 4):
        store.put(key(epoch), content(str(epoch)))
    store.delete(key(3))
    remote.open.set()
    assert store.flush(10)
    assert [each for each in remote.asked if each.startswith("put")] == ["put 0001", "put 0004", "put 0002"]
    assert remote.list(CHECKPOINTS) == [key(1), key(2), key(4)]


def test_what_is_deleted_while_it_is_sent_is_not_left_over(
    store: StagedStore, remote: Distant, content: Content
) -> None:
    remote.open.clear()
    store.put(key(1), content("1"))
    until(remote.begun.is_set)
    store.put(key(2), content("2"))
    store.delete(key(1))
    remote.open.set()
    assert store.flush(10)
    assert store.list(CHECKPOINTS) == remote.list(CHECKPOINTS) == [key(2)]
    assert store.problems == ()


def test_what_is_put_again_while_it_is_sent_is_sent_again(
    store: StagedStore, remote: Distant, content: Content
) -> None:
    remote.open.clear()
    store.put(key(1), content("old"))
    until(remote.begun.is_set)
    store.put(key(1), content("new"))
    remote.open.set()
    assert store.flush(10)
    assert remote.artifacts[key(1)][1] == {"file": b"new"}


def test_the_folder_keeps_the_newest_and_what_is_not_sent(
    store: StagedStore, local: FolderStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    store.put(key(1), content("1"))
    assert store.flush(10)
    assert local.list(CHECKPOINTS) == [key(1)]
    remote.open.clear()
    store.put(key(2), content("2"))
    assert local.list(CHECKPOINTS) == [key(1), key(2)]
    remote.open.set()
    assert store.flush(10)
    until(lambda: local.list(CHECKPOINTS) == [key(2)])
    assert store.list(CHECKPOINTS) == [key(1), key(2)]
    assert read(store, 1, tmp_path) == "1", "from the store"


def test_a_store_that_is_away_is_told_of_once_and_gets_all_when_it_is_back(
    local: FolderStore,
    remote: Distant,
    content: Content,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import logging

    monkeypatch.setattr(staged, "FIRST_PAUSE_S", 0.01)
    store = StagedStore(local, remote, logging.getLogger("trial"))
    remote.away = True
    for epoch in (1, 2):
        store.put(key(epoch), content(str(epoch)))
    until(lambda: sum(each.startswith("put") for each in remote.asked) > 3)
    assert store.problems == ("the store is away",)
    assert [record.getMessage() for record in caplog.records] == [
        "the store is away. What is kept waits in the sweep's folder"
    ]
    remote.away = False
    assert store.close(10)
    assert (store.problems, store.waiting) == ((), [])
    assert remote.list(CHECKPOINTS) == [key(1), key(2)]


def test_nothing_is_deleted_there_before_what_replaces_it_is_there(
    store: StagedStore, remote: Distant, content: Content
) -> None:
    store.put(key(1), content("1"))
    assert store.flush(10)
    remote.begun.clear()
    remote.open.clear()
    store.put(key(2), content("2"))
    store.delete(key(1))
    until(remote.begun.is_set)
    assert key(1) in remote.artifacts
    remote.open.set()
    assert store.flush(10)
    assert list(remote.artifacts) == [key(2)]


def test_another_process_finds_what_the_first_one_sent(
    store: StagedStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    for epoch in (1, 2):
        store.put(key(epoch), content(str(epoch)))
    assert store.close(10)
    elsewhere = StagedStore(FolderStore(tmp_path / "elsewhere"), remote)
    assert elsewhere.list(CHECKPOINTS) == [key(1), key(2)]
    assert read(elsewhere, 2, tmp_path) == "2"


def test_another_process_sends_what_the_first_one_left(
    local: FolderStore, remote: Distant, content: Content
) -> None:
    local.put(key(1), content("1"))
    successor = StagedStore(local, remote)
    assert successor.list(CHECKPOINTS) == [key(1)]
    until(lambda: key(1) in remote.artifacts)
    assert successor.close(10)


def test_a_new_trial_starts_while_the_store_is_away_but_one_that_lost_its_folder_does_not(
    store: StagedStore, local: FolderStore, remote: Distant, content: Content
) -> None:
    remote.away = True
    assert store.list(CHECKPOINTS) == []
    local.put(key(1), content("1"))
    local.delete(key(1))
    with pytest.raises(StoreAway):
        store.list(CHECKPOINTS)


def test_what_is_damaged_in_the_folder_comes_from_the_store(
    store: StagedStore, local: FolderStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    store.put(key(1), content("1"))
    assert store.flush(10)
    (local.path(key(1)) / "file").write_text("2")
    assert read(store, 1, tmp_path) == "1"
    remote.artifacts.clear()
    with pytest.raises(DamagedArtifact):
        read(store, 1, tmp_path)


def test_what_is_damaged_before_it_is_sent_is_never_sent_and_stops_nothing(
    local: FolderStore, remote: Distant, content: Content, store: StagedStore
) -> None:
    remote.away = True
    store.put(key(1), content("1"))
    until(lambda: "put 0001" in remote.asked)
    (local.path(key(1)) / "file").write_text("2")
    remote.away = False
    until(lambda: not store.waiting)
    store.put(key(2), content("2"))
    assert store.flush(10)
    assert list(remote.artifacts) == [key(2)]


def test_a_closed_store_sends_nothing_more_and_keeps_it(
    store: StagedStore, local: FolderStore, remote: Distant, content: Content
) -> None:
    remote.away = True
    store.put(key(1), content("1"))
    assert not store.close(0.1)
    remote.away = False
    store.put(key(2), content("2"))
    time.sleep(0.3)
    assert remote.artifacts == {}
    assert local.list(CHECKPOINTS) == [key(1), key(2)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, remote: Distant) -> Artifacts:
    monkeypatch.setattr(opening, "_remote", lambda *_: remote)
    return Artifacts(uri="s3://bucket/x")


def test_pushing_sends_what_is_left_and_a_second_time_changes_nothing(
    bucket: Artifacts, local: FolderStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    for epoch in (1, 2, 3):
        local.put(key(epoch), content(str(epoch)))
    (local.path(key(2)) / "file").write_text("x")
    folder = SweepFolder(tmp_path / "sweep")
    pushed = push(folder, bucket, "id")
    assert (pushed.sent, pushed.waiting) == (2, (key(2),))
    assert "damaged" in pushed.problems[0]
    assert remote.list(CHECKPOINTS) == [key(1), key(3)]
    assert local.list(CHECKPOINTS) == [key(2), key(3)]
    remote.asked.clear()
    again = push(folder, bucket, "id")
    assert (again.sent, again.waiting) == (0, (key(2),))
    assert remote.asked == ["list", "put 0002"]


def test_pushing_sends_what_is_other_than_what_is_there(
    bucket: Artifacts, local: FolderStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    for text in ("old", "new"):
        local.put(key(1), content(text))
        assert push(SweepFolder(tmp_path / "sweep"), bucket, "id").sent == 1
    assert remote.artifacts[key(1)][1] == {"file": b"new"}


def test_pushing_to_a_store_that_is_away_keeps_all_and_says_why(
    bucket: Artifacts, local: FolderStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    for epoch in (1, 2):
        local.put(key(epoch), content(str(epoch)))
    remote.away = True
    pushed = push(SweepFolder(tmp_path / "sweep"), bucket, "id")
    assert (pushed.sent, pushed.waiting, pushed.problems) == (0, (key(1), key(2)), ("the store is away",))
    assert len(remote.asked) == 1
    assert local.list(CHECKPOINTS) == [key(1), key(2)]


def test_a_reader_sees_both_places_and_starts_no_thread(
    bucket: Artifacts, local: FolderStore, remote: Distant, content: Content, tmp_path: Path
) -> None:
    local.put(key(2), content("2"))
    remote.put(key(1), content("1"))
    reader = open_store(SweepFolder(tmp_path / "sweep"), bucket, "id")
    before = threading.active_count()
    assert reader.list(CHECKPOINTS) == [key(1), key(2)]
    for epoch in (1, 2):
        reader.get(key(epoch), tmp_path / f"back-{epoch}")
    with pytest.raises(MissingArtifact):
        reader.get(key(3), tmp_path / "back-3")
    assert threading.active_count() == before
    assert len(reader.stored("trials")) == 2


def test_without_a_bucket_all_stays_in_the_folder(tmp_path: Path) -> None:
    for artifacts in (None, Artifacts()):
        assert isinstance(open_store(SweepFolder(tmp_path), artifacts, "id", background=True), FolderStore)
        assert push(SweepFolder(tmp_path), artifacts, "id").sent == 0


def test_an_error_of_a_key_is_the_callers(store: StagedStore) -> None:
    with pytest.raises(StorageError, match="no key"):
        store.list("../up")
