"""What a trial keeps of its epochs, what it goes on from, and how it waits."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration import checkpoints as module
from orchestration.checkpoints import Checkpoints, ranked, retained
from orchestration.folders import SweepFolder
from orchestration.lock import hold
from orchestration.pruning import check_idle, plan_pruning
from orchestration.spec import Objective
from orchestration.storage import (
    Artifacts,
    DamagedArtifact,
    DiskFull,
    FolderStore,
    MemoryStore,
    MissingArtifact,
    StoreAway,
)

LOWEST = (Objective(metric="l1", direction="minimize"),)
FOLDER = "trials/0007/checkpoints"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.005)


@pytest.fixture
def made(tmp_path: Path) -> Callable[[int], Path]:
    """What is to be kept of an epoch; epoch 3 is the best."""

    def make(epoch: int) -> Path:
        folder = tmp_path / f"made-{epoch}"
        folder.mkdir(exist_ok=True)
        history = [{"epoch": each, "metrics": {"l1": abs(each - 3)}} for each in range(1, epoch + 1)]
        (folder / "trial.json").write_text(json.dumps({"history": history}))
        (folder / "weights").write_bytes(bytes([epoch]) * 1000)
        return folder

    return make


Made = Callable[[int], Path]


def epochs(store: MemoryStore | FolderStore) -> list[int]:
    return [int(key[-4:]) for key in store.list(FOLDER)]


@pytest.mark.parametrize(
    ("newest", "best", "kept"),
    [(1, 1, {3, 6}), (2, 1, {3, 5, 6}), (1, 3, {2, 3, 4, 6}), (9, 9, set(range(1, 7)))],
)
def test_the_newest_and_the_best_stay(newest: int, best: int, kept: set[int], made: Made) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, 7, newest, best)
    for epoch in range(1, 7):
        values = {each: [abs(each - 3)] for each in range(1, epoch + 1)}
        checkpoints.keep(epoch, made(epoch), ranked(values, LOWEST))
    assert set(epochs(store)) == kept


def test_epochs_are_ranked_by_their_objective_and_equals_by_age() -> None:
    values = {1: [0.5], 2: [0.2], 3: [math.nan], 4: [0.2], 5: []}
    assert ranked(values, LOWEST) == [2, 4, 1]
    assert ranked(values, (Objective(metric="l1", direction="maximize"),)) == [1, 2, 4]


def test_with_several_objectives_the_newest_counts() -> None:
    assert ranked({1: [1, 2], 2: [2, 1], 3: [3, math.inf]}, LOWEST * 2) == [2, 1]


def test_something_always_stays() -> None:
    assert retained([4], [], newest=0, best=0) == {4}
    assert retained([], [1, 2], newest=1, best=1) == set()
    assert retained([5, 6, 7], [1, 5], newest=1, best=1) == {5, 7}, "the best one that is there"


def test_a_trial_goes_on_from_its_newest_checkpoint(made: Made, tmp_path: Path) -> None:
    store = MemoryStore()
    assert Checkpoints(store, 7).newest(tmp_path / "none") is None
    for epoch in (3, 11, 9):
        store.put(f"{FOLDER}/epoch-{epoch:04d}", made(epoch))
    store.put("trials/0008/checkpoints/epoch-0020", made(20))
    found = Checkpoints(store, 7).newest(tmp_path / "resume")
    assert found is not None and (found / "weights").read_bytes()[0] == 11


def test_damaged_checkpoints_are_set_aside_for_good_and_the_one_before_is_used(
    made: Made, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FolderStore(tmp_path / "store")
    for epoch in (3, 5, 6):
        store.put(f"{FOLDER}/epoch-{epoch:04d}", made(epoch))
    weights = store.path(f"{FOLDER}/epoch-0006") / "weights"
    weights.write_bytes(weights.read_bytes()[:-1])
    weights = store.path(f"{FOLDER}/epoch-0005") / "weights"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    checkpoints = Checkpoints(store, 7, log=logging.getLogger("trial"))
    found = checkpoints.newest(tmp_path / "resume")
    assert found is not None and (found / "weights").read_bytes()[0] == 3
    warnings = [record.getMessage() for record in caplog.records]
    assert ["epoch-0006" in warnings[0], "epoch-0005" in warnings[1], len(warnings)] == [True, True, 2]
    assert "weights has 999 bytes instead of 1000; it is set aside" in warnings[0]
    assert (epochs(store), len(store.list("trials/0007/damaged"))) == ([3], 2)
    assert Checkpoints(store, 7).newest(tmp_path / "again") is not None


def test_when_all_are_damaged_a_trial_starts_anew(made: Made, tmp_path: Path) -> None:
    store = MemoryStore()
    store.put(f"{FOLDER}/epoch-0001", made(1))
    store.artifacts[f"{FOLDER}/epoch-0001"][1]["weights"] = b""
    checkpoints = Checkpoints(store, 7)
    assert checkpoints.newest(tmp_path / "resume") is None
    checkpoints.keep(1, made(1), [1])
    assert checkpoints.newest(tmp_path / "resume") is not None


def test_what_is_asked_for_by_epoch_is_that_epoch_or_an_error(made: Made, tmp_path: Path) -> None:
    store = MemoryStore()
    checkpoints = Checkpoints(store, 7)
    checkpoints.keep(1, made(1), [1])
    checkpoints.fetch(1, tmp_path / "one")
    with pytest.raises(MissingArtifact):
        checkpoints.fetch(2, tmp_path / "two")
    store.artifacts[f"{FOLDER}/epoch-0001"][1]["weights"] = b""
    with pytest.raises(DamagedArtifact):
        checkpoints.fetch(1, tmp_path / "again")
    assert epochs(store) == []


def test_epochs_of_an_attempt_that_is_replaced_go(made: Made) -> None:
    store = MemoryStore()
    store.put(f"{FOLDER}/epoch-0009", made(9))
    Checkpoints(store, 7).keep(1, made(1), [1])
    assert epochs(store) == [1]


class Failing(MemoryStore):
    """Fails so often."""

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__()
        self.error, self.times = error, times

    def _maybe(self) -> None:
        if self.times > 0:
            self.times -= 1
            raise self.error

    def put(self, key: str, source: Path) -> None:
        self._maybe()
        super().put(key, source)

    def list(self, prefix: str) -> list[str]:
        self._maybe()
        return super().list(prefix)


def test_a_full_disk_is_waited_for_and_said_once(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    store = Failing(DiskFull("the disk is full"), times=5)
    Checkpoints(store, 7, log=logging.getLogger("trial")).keep(1, made(1), [1])
    assert epochs(store) == [1]
    assert [record.getMessage() for record in caplog.records] == ["the disk is full. Waits, and tries again"]


def test_a_store_that_is_away_is_waited_for_before_a_trial_starts_anew(made: Made, tmp_path: Path) -> None:
    store = Failing(StoreAway("away"), times=0)
    store.put(f"{FOLDER}/epoch-0001", made(1))
    store.times = 5
    assert Checkpoints(store, 7).newest(tmp_path / "resume") is not None


def test_patience_ends(made: Made) -> None:
    with pytest.raises(DiskFull):
        Checkpoints(Failing(DiskFull("full"), 10**9), 7, patience_s=0.05).keep(1, made(1), [1])


# Pruning


@pytest.fixture
def store(tmp_path: Path, made: Made) -> FolderStore:
    """Epochs 1 to 6 of trial 7, of which 3 is the best; one of trial 8."""
    store = FolderStore(tmp_path / "sweep")
    for epoch in range(1, 7):
        store.put(f"{FOLDER}/epoch-{epoch:04d}", made(epoch))
    store.put("trials/0008/checkpoints/epoch-0002", made(2))
    return store


def test_pruning_deletes_what_retention_does_not_name_and_what_is_of_no_use(
    store: FolderStore, tmp_path: Path, made: Made
) -> None:
    store.put("trials/0007/damaged/epoch-0004", made(4))
    hidden = tmp_path / "sweep" / FOLDER / ".epoch-0009.abc"
    hidden.mkdir()
    (hidden / "half").write_bytes(b"x" * 10)
    plan = plan_pruning(store, LOWEST, Artifacts(keep_newest=1))
    assert epochs(store) == [1, 2, 3, 4, 5, 6], "a plan changes nothing"
    by_why = {
        why: sum(each.why == why for each in plan.doomed) for why in ("superseded", "damaged", "unfinished")
    }
    assert by_why == {"superseded": 4, "damaged": 1, "unfinished": 1}
    everything = sum(path.stat().st_size for path in (tmp_path / "sweep").rglob("*") if path.is_file())
    assert plan.num_bytes + plan.kept_bytes == everything
    plan.do()
    assert (epochs(store), store.list("trials/0007/damaged"), hidden.exists()) == ([3, 6], [], False)
    assert (
        sum(path.stat().st_size for path in (tmp_path / "sweep").rglob("*") if path.is_file())
        == plan.kept_bytes
    )
    assert plan_pruning(store, LOWEST, Artifacts(keep_newest=1)).doomed == ()


def test_pruning_keeps_as_many_as_the_sweep_says(store: FolderStore) -> None:
    plan_pruning(store, LOWEST, Artifacts(keep_newest=2, keep_best=2)).do()
    assert epochs(store) == [2, 3, 5, 6]


@pytest.mark.parametrize("name", ["trial.json", "weights"])
def test_pruning_never_deletes_what_a_damaged_newest_one_may_need(store: FolderStore, name: str) -> None:
    (store.path(f"{FOLDER}/epoch-0006") / name).write_bytes(b"x")
    plan = plan_pruning(store, LOWEST, Artifacts(keep_newest=1))
    assert plan.doomed == ()
    assert "nothing of trials/0007/checkpoints is deleted: artifact" in plan.warnings[0]


def test_nothing_is_pruned_while_a_trial_of_a_killed_driver_runs(store: FolderStore, tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    check_idle(folder)
    with (
        hold(folder.trial_lock(7), "trial 0007"),
        pytest.raises(Exception, match="trial 0007 of 'sweep' still runs"),
    ):
        check_idle(folder)
