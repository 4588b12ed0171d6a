"""What several tests of jobs need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.slurm.stand_ins import COMMANDS, STAND_IN, StandIns


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    folder = tmp_path / "bin"
    folder.mkdir()
    found = StandIns(folder)
    for name in COMMANDS:
        (folder / name).write_text(STAND_IN.format(folder=folder, name=name))
        (folder / name).chmod(0o755)
        found.answer(name, "")
    number = 'n=$(wc -l < {0}/sbatch.calls); echo "Submitted batch job $((100 + n))"'
    found.answer("sbatch", number.format(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return found
