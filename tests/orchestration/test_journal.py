"""What is logged is on disk before it is sent, and arrives once, whatever happens to the store and to us."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestration import background
from orchestration.errors import TrackingError, TrackingRefused
from orchestration.runs import MemoryRun
from orchestration.tracking.journal import Entry, Journal, Metrics, Tags
from orchestration.tracking.run_log import RunLog
from orchestration.tracking.sender import MAX_ENTRIES, Sender, send


class Store(MemoryRun):
    """Does what the test says."""

    def __init__(self) -> None:
        super().__init__("run")
        self.error: Exception | None = None
        self.refused: str = ""
        self.go_on = threading.Event()
        self.go_on.set()
        self.calls: list[int] = []
        self.opened: list[str | None] = []

    def open(self, run_id: str | None) -> Store:
        self.opened.append(run_id)
        return self

    def send(self, entries: Sequence[Entry], folder: Path) -> None:
        self.go_on.wait(30)
        self.calls.append(len(entries))
        if self.error:
            raise self.error
        if any(isinstance(entry, Tags) and self.refused in entry.values for entry in entries):
            raise TrackingRefused("no such tag")
        super().send(entries, folder)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "tracking")


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(background, "LAST_WAIT_S", 0.05)


def reopened(journal: Journal) -> Journal:
    """As another process has it."""
    return Journal(journal.folder)


def test_training_does_not_wait_for_a_store_that_hangs_and_nothing_is_lost(
    journal: Journal, store: Store
) -> None:
    store.go_on.clear()
    sender = Sender(journal, store.open)
    log = RunLog(journal, sender)
    for epoch in range(1, 51):
        log.log(epoch, {"l1": 1 / epoch})
    assert store.metrics == []
    assert not log.close(0.1)
    assert not journal.is_sent
    store.go_on.set()
    # The next process sends what this one could not.
    send(reopened(journal), store.open)
    assert sorted(epoch for epoch, _ in store.metrics) == list(range(1, 51))
    assert reopened(journal).is_sent


def test_who_goes_on_waits_for_the_batch_that_is_under_way(
    journal: Journal, store: Store, tmp_path: Path
) -> None:
    picture = tmp_path / "faces.png"
    picture.write_bytes(b"picture")
    store.go_on.clear()
    log = RunLog(journal, Sender(journal, store.open))
    for epoch in (1, 2, 3):
        log.picture(picture, "faces", epoch)
    assert not log.close(0.1)  # as a trial does whose time is up, while its thread is in the middle
    threading.Timer(0.3, store.go_on.set).start()
    assert send(reopened(journal), store.open) == []
    assert sorted(store.artifacts) == [f"images/faces-{epoch}.png" for epoch in (1, 2, 3)]
    assert sum(store.calls) == 3
    assert reopened(journal).is_sent


def test_a_store_that_was_away_gets_everything_once_it_is_back(journal: Journal, store: Store) -> None:
    store.error = TrackingError("the server is gone")
    sender = Sender(journal, store.open)
    log = RunLog(journal, sender)
    log.log(1, {"l1": 0.5})
    deadline = time.monotonic() + 10
    while len(store.calls) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "gone" in sender.away
    log.log(2, {"l1": 0.4})
    store.error = None
    assert log.close(10)
    assert [(step, values["l1"]) for step, values in store.metrics] == [(1, 0.5), (2, 0.4)]
    assert sender.away == ""


def test_an_error_that_nobody_thought_of_does_not_end_the_sending(journal: Journal, store: Store) -> None:
    store.error = RuntimeError("a bug")
    sender = Sender(journal, store.open)
    log = RunLog(journal, sender)
    log.log(1, {"l1": 0.5})
    deadline = time.monotonic() + 10
    while not store.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    store.error = None
    assert log.close(10)
    assert store.metrics == [(1, {"l1": 0.5, "epoch": 1.0})]


def test_what_is_unsent_goes_in_few_calls(journal: Journal, store: Store) -> None:
    log = RunLog(journal)
    for epoch in range(1, 2 * MAX_ENTRIES + 11):
        log.log(epoch, {"l1": 0.5})
    send(journal, store.open)
    assert store.calls == [MAX_ENTRIES, MAX_ENTRIES, 10]
    assert store.opened == [None]


def test_a_run_is_known_by_its_name_from_the_first_time_on(journal: Journal, store: Store) -> None:
    log = RunLog(journal)
    log.log(1, {})
    send(journal, store.open)
    RunLog(reopened(journal)).log(2, {})
    send(reopened(journal), store.open)
    assert store.opened == [None, "run"]


def test_sending_again_changes_nothing_and_asks_nothing(journal: Journal, store: Store) -> None:
    RunLog(journal).log(1, {"l1": 0.5})
    send(journal, store.open)
    assert send(reopened(journal), store.open) == []
    assert (len(store.opened), len(store.metrics)) == (1, 1)


def test_what_the_store_refuses_is_named_and_holds_up_nothing(journal: Journal, store: Store) -> None:
    store.refused = "bad"
    log = RunLog(journal)
    log.log(1, {"l1": 0.5})
    log.describe({}, {"bad": "x"})
    log.log(2, {"l1": 0.4})
    (problem,) = send(journal, store.open)
    assert "no such tag" in problem
    assert [step for step, _ in store.metrics] == [1, 2]
    assert journal.is_sent


def test_epochs_that_are_trained_again_are_logged_once(journal: Journal, store: Store) -> None:
    RunLog(journal).log(1, {"l1": 0.5})
    RunLog(journal).log(2, {"l1": 0.4})
    again = RunLog(reopened(journal))
    assert again.last_epoch == 2
    again.log(2, {"l1": 0.41})
    again.log(3, {"l1": 0.3})
    send(journal, store.open)
    assert [(step, values["l1"]) for step, values in store.metrics] == [(1, 0.5), (2, 0.4), (3, 0.3)]


def test_a_setting_that_changes_becomes_a_tag_and_stays_what_it_was(journal: Journal, store: Store) -> None:
    log = RunLog(journal)
    log.describe({"threads": 1, "lr": 0.1}, {})
    log.log(4, {})
    RunLog(reopened(journal)).describe({"threads": 2, "lr": 0.1, "new": True}, {})
    send(journal, store.open)
    assert store.params == {"threads": "1", "lr": "0.1", "new": "True"}
    assert store.tags == {"wav2pix.changed.threads": "2 after epoch 4"}


def test_a_line_that_a_killed_process_left_unfinished_is_cut_off(journal: Journal, store: Store) -> None:
    RunLog(journal).log(1, {"l1": 0.5})
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"type":"metrics","step":2')
    RunLog(reopened(journal)).log(2, {"l1": 0.4})
    send(reopened(journal), store.open)
    assert [step for step, _ in store.metrics] == [1, 2]


def test_a_damaged_line_costs_no_other(journal: Journal, store: Store) -> None:
    log = RunLog(journal)
    for epoch in (1, 2, 3):
        log.log(epoch, {})
    path = journal.folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0" * (len(lines[1]) - 1) + b"\n" + lines[2])
    send(reopened(journal), store.open)
    assert [step for step, _ in store.metrics] == [1, 3]
    assert reopened(journal).is_sent


def test_what_is_no_number_stays_so(journal: Journal) -> None:
    journal.append([Metrics(step=1, time_ms=1, values={"a": math.nan, "b": math.inf})])
    (entry,) = reopened(journal).entries()
    assert isinstance(entry, Metrics)
    assert math.isnan(entry.values["a"])
    assert math.isinf(entry.values["b"])


def test_files_wait_beside_the_journal_and_go_once_they_arrived(
    journal: Journal, store: Store, tmp_path: Path
) -> None:
    source = tmp_path / "faces.png"
    source.write_bytes(b"png")
    log = RunLog(journal)
    log.attach(source, "pictures")
    log.picture(source, "faces", 3)
    log.picture(source, "faces", 3)
    source.unlink()
    assert len(list(journal.folder.rglob("faces.png"))) == 2, "an epoch has one picture"
    send(journal, store.open)
    assert store.artifacts == {"pictures/faces.png": b"png", "images/faces-3.png": b"png"}
    assert not list(journal.folder.rglob("faces.png"))


def test_secrets_are_masked_before_they_touch_the_disk(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish-0123")
    log = RunLog(journal)
    log.describe({"api_key": "abcdefgh", "note": "it is swordfish-0123"}, {"password": "abcdefgh"})
    log.attach_text("key swordfish-0123", "code.diff")
    content = b"".join(path.read_bytes() for path in journal.folder.rglob("*") if path.is_file())
    assert b"swordfish" not in content
    assert b"abcdefgh" not in content


def test_the_journal_is_for_its_owner_alone(journal: Journal) -> None:
    RunLog(journal).log(1, {})
    assert journal.folder.stat().st_mode & 0o777 == 0o700
