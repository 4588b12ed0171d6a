"""Jobs run the code as it was when it was frozen, and say which it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration import provenance
from orchestration.frozen import freeze
from orchestration.provenance import running_code

WHO = "import json, dataclasses; from orchestration.provenance import running_code;"
WHO += "import wav2pix, slurm; print(json.dumps([wav2pix.__file__, slurm.__file__,"
WHO += "dataclasses.asdict(running_code())]))"


def run_in(path: Path, code: str) -> str:
    """What Python prints with the frozen packages before all others; in a folder that has none of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(path)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_process_runs_the_frozen_code_and_knows_which_it_is(tmp_path: Path) -> None:
    now = running_code()
    frozen = freeze(tmp_path)
    trainer, platform, code = json.loads(run_in(frozen.path, WHO))
    assert Path(trainer).parent.parent == Path(platform).parent.parent == frozen.path
    assert code == {"commit": now.commit, "diff": now.diff, "hash": frozen.hash}
    assert frozen.code == now


def test_frozen_code_has_the_commands_and_the_sweep_files_and_nothing_but_source(tmp_path: Path) -> None:
    frozen = freeze(tmp_path)
    command = "import sys; sys.argv.append('--help'); from orchestration.cli import main; main()"
    assert "generate" in run_in(frozen.path, command)
    names = {
        path.suffix for path in frozen.path.rglob("*") if path.is_file() and path.parent.name != "__pycache__"
    }
    assert names == {".py", ".yaml", ".json"}
    assert (frozen.path / "sweeps" / "quick.yaml").is_file()


def test_freezing_the_same_code_again_leaves_the_copy_alone(tmp_path: Path) -> None:
    first = freeze(tmp_path)
    before = (first.path / "frozen.json").stat().st_mtime_ns
    assert freeze(tmp_path) == first
    assert (first.path / "frozen.json").stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [first.hash]


def test_changed_code_has_another_hash_and_a_copy_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = freeze(tmp_path / "code")
    shutil.copytree(first.path, tmp_path / "tree")
    (tmp_path / "tree" / "frozen.json").unlink()
    (tmp_path / "tree" / "wav2pix" / "config.py").write_text("changed = True\n")
    monkeypatch.setattr(provenance, "_folder", lambda package: tmp_path / "tree" / package)
    second = freeze(tmp_path / "code")
    assert second.hash != first.hash
    assert (second.path / "wav2pix" / "config.py").read_text() == "changed = True\n"
    assert (first.path / "wav2pix" / "config.py").read_text() != "changed = True\n"
