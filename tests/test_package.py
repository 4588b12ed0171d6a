"""What is installed is this project's, and nothing more."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["wav2pix", "orchestration", "slurm", "sweeps"])
def test_the_imported_package_is_ours(name: str) -> None:
    # Two distributions on the package index install the names sweeps and slurm.
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == ROOT / name


@pytest.mark.slow
def test_a_built_wheel_holds_the_packages_and_their_yaml_and_no_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("wav2pix-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"wav2pix/train.py", "orchestration/cli.py", "sweeps/quick.yaml", "sweeps/youtubers.yaml"} <= set(
        names
    )
    top = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert top == {"wav2pix", "orchestration", "slurm", "sweeps"}


def test_the_console_script_is_the_composition_root() -> None:
    (script,) = [e for e in importlib.metadata.entry_points(group="console_scripts") if e.name == "wav2pix"]
    assert script.value == "orchestration.cli:main"
