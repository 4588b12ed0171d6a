"""The command that makes room."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestration import cli, storage_cli  # noqa: F401 - they make the commands
from orchestration.cli_parts import sweep_app
from orchestration.errors import SweepError
from orchestration.folders import Storage, SweepFolder
from orchestration.identity import claim
from orchestration.lock import hold
from orchestration.spec import SweepSpec
from orchestration.storage import FolderStore
from orchestration.storage_cli import size

SPEC = {
    "name": "tiny",
    "data": "/nowhere",
    "preset": "small",
    "search": {"batch_size": {"type": "integer", "low": 2, "high": 64}},
    "objective": {"metric": "l1", "direction": "minimize"},
    "trials": 1,
    "epochs": 4,
    "artifacts": {"keep_newest": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """A sweep with checkpoints of four epochs, of which the second is the best."""
    folder = Storage(tmp_path / "runs").sweep("tiny")
    folder.make()
    claim(folder, SweepSpec.model_validate(SPEC), "hash", None)
    source = tmp_path / "source"
    source.mkdir()
    for epoch in range(1, 5):
        history = [{"epoch": each, "metrics": {"l1": abs(each - 2)}} for each in range(1, epoch + 1)]
        (source / "trial.json").write_text(json.dumps({"history": history}))
        (source / "weights").write_bytes(b"w" * 100_000)
        FolderStore(folder.root).put(f"trials/0000/checkpoints/epoch-{epoch:04d}", source)
    return folder


def prune(folder: SweepFolder, *options: str) -> Result:
    where = ["--storage", str(folder.root.parent)]
    return CliRunner().invoke(sweep_app, ["prune", "tiny", *where, *options], catch_exceptions=False)


def epochs(folder: SweepFolder) -> list[str]:
    return [key[-4:] for key in FolderStore(folder.root).list("trials")]


def test_a_dry_run_says_what_would_go_and_deletes_nothing(folder: SweepFolder) -> None:
    output = prune(folder, "--dry-run").output
    assert "would be deleted" in output and "superseded" in output
    assert output.splitlines()[-1] == "200.7 kB would be freed, 200.8 kB stay"
    assert epochs(folder) == ["0001", "0002", "0003", "0004"]


def test_it_deletes_what_it_said_and_a_second_time_nothing(folder: SweepFolder) -> None:
    said = json.loads(prune(folder, "--dry-run", "--json").output)
    done = json.loads(prune(folder, "--json").output)
    assert [row["what"][-4:] for row in done["deleted"]] == ["0001", "0003"]
    assert (said["dry_run"], done["dry_run"]) == (True, False)
    assert said | {"dry_run": False} == done
    assert epochs(folder) == ["0002", "0004"]
    again = json.loads(prune(folder, "--json").output)
    assert (again["deleted"], again["kept_bytes"]) == ([], done["kept_bytes"])


def test_it_refuses_while_the_sweep_runs(folder: SweepFolder) -> None:
    with hold(folder.lock, "the sweep"), pytest.raises(SweepError, match="sweep 'tiny' is in use by process"):
        prune(folder)
    assert len(epochs(folder)) == 4


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes_are_for_people(num_bytes: int, text: str) -> None:
    assert size(num_bytes) == text
