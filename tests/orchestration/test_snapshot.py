"""Anybody may look at a sweep at any time: one file says how it stands, and the database stays the driver's."""

from __future__ import annotations

import json
import math
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from orchestration import snapshot
from orchestration.errors import SweepError
from orchestration.folders import SweepFolder
from orchestration.records import Progress, TrialRecord
from orchestration.snapshot import Snapshot, SnapshotKeeper
from orchestration.sqlite import make_whole, set_journal, sync_less

RECORDS = [
    TrialRecord(
        number=0,
        state="complete",
        params={"batch_size": 8, "encoder.channels": [8, 16], "loss.real_label": None},
        progress=Progress(3, 2, (0.5, 0.25), {"l1": 0.5, "kid": 0.25}, {"": 1.5, "41": 2.0}),
    ),
    TrialRecord(1, "failed", {}, Progress(), "no disk", ("no memory", "no disk"), 3),
]


def test_a_snapshot_says_what_the_study_said(tmp_path: Path) -> None:
    Snapshot(RECORDS, 4, 12.5).save(tmp_path / "trials.json")
    assert Snapshot.load(tmp_path / "trials.json") == Snapshot(RECORDS, 4, 12.5)


def test_a_measure_that_is_no_number_is_kept(tmp_path: Path) -> None:
    record = TrialRecord(0, "running", {}, Progress(1, 0, (), {"kid": math.nan}))
    Snapshot([record], 1, 0.0).save(tmp_path / "trials.json")
    loaded = Snapshot.load(tmp_path / "trials.json")
    assert loaded is not None
    assert math.isnan(loaded.records[0].progress.metrics["kid"])


def test_before_the_first_trial_there_is_no_snapshot(tmp_path: Path) -> None:
    assert Snapshot.load(tmp_path / "trials.json") is None


def test_a_snapshot_of_another_version_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "trials.json").write_text(json.dumps({"trials": [{"name": 1}]}))
    with pytest.raises(SweepError, match=r"trials\.json cannot be read"):
        Snapshot.load(tmp_path / "trials.json")


def test_a_snapshot_is_written_at_most_once_a_second_and_always_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(snapshot.time, "monotonic", lambda: now)
    trials = 0
    path = tmp_path / "trials.json"
    keeper = SnapshotKeeper(path, lambda: ([], trials))

    def seen() -> int:
        loaded = Snapshot.load(path)
        assert loaded is not None
        return loaded.num_left

    keeper.change()
    trials = 1
    keeper.change()
    assert seen() == 0, "too soon"
    now += 1.1
    keeper.tick()
    assert seen() == 1
    trials = 2
    keeper.tick()
    now += 1.1
    keeper.tick()
    assert seen() == 1, "nothing has changed, as far as anybody said"
    keeper.change()
    trials = 3
    keeper.change()
    keeper.flush()
    assert seen() == 3


def test_looking_at_a_sweep_opens_no_database() -> None:
    heavy = "{'torch', 'ray', 'mlflow', 'optuna'}"
    code = f"import sys; import orchestration.driver, orchestration.results; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_the_folder_of_a_sweep_is_its_owners_alone(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "runs" / "s")
    folder.make()
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    folder.make()


def test_a_database_in_a_network_folder_has_no_log_that_is_shared_through_memory(tmp_path: Path) -> None:
    database = tmp_path / "study.db"
    make_whole(database, lambda partial: write(f"sqlite:///{partial}", "CREATE TABLE t (x)"))
    assert write(f"sqlite:///{database}", "INSERT INTO t VALUES (1)") == "wal"
    set_journal(database, "delete")
    assert write(f"sqlite:///{database}", "INSERT INTO t VALUES (2)") == "truncate"
    assert not list(tmp_path.glob("*-shm"))
    set_journal(database, "wal")
    assert write(f"sqlite:///{database}", "INSERT INTO t VALUES (3)") == "wal"


def write(url: str, statement: str) -> str:
    """Do it as the study does; how it was journalled."""
    sync_less()
    engine = create_engine(url)
    with engine.begin() as connection:
        mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
        connection.execute(text(statement))
    engine.dispose()
    return str(mode)
