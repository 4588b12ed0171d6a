"""The command line: quick help, one line for a mistake, plans before deeds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration.errors import OrchestrationError
from wav2pix.data import open_dataset

SPEC = """\
name: tiny
data: {data}
preset: small
search:
  optimizer.lr_generator: {{type: log_uniform, low: 1e-4, high: 5e-3}}
objective: {{metric: l1, direction: minimize}}
trials: 6
epochs: 4
max_concurrent: 2
resources: {{cpus: 0.5, gpus: 0.25}}
storage: {storage}
"""


def wav2pix(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestration", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def file(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC.format(data=tiny_data, storage=tmp_path / "runs"))
    return path


def test_help_is_quick_and_names_every_command() -> None:
    wav2pix("--help")
    started = time.process_time(), time.monotonic()
    answer = wav2pix("--help")
    assert time.monotonic() - started[1] < 5
    assert all(name in answer.stdout for name in ("train", "generate", "evaluate", "data", "sweep"))
    sweep = wav2pix("sweep", "--help").stdout
    assert all(name in sweep for name in ("validate", "run", "list", "status", "compare", "best", "export"))


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'ray', 'mlflow', 'optuna', 'cv2', 'av', 'torchmetrics'}"
    code = f"import sys; import orchestration.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(file: Path) -> None:
    file.write_text(file.read_text().replace("lr_generator", "lrr"))
    answer = wav2pix("sweep", "validate", str(file))
    assert answer.returncode == 1
    expected = f"{file}:5: no setting 'optimizer.lrr'; did you mean 'optimizer.lr_generator'?\n"
    assert (answer.stdout, answer.stderr) == ("", expected)


def test_debug_shows_where_a_mistake_came_from(file: Path) -> None:
    file.write_text("name: x\n")
    assert "Traceback" in wav2pix("sweep", "validate", str(file), "--debug").stderr


def test_a_data_set_that_is_not_there_is_one_line(file: Path, tmp_path: Path, tiny_data: Path) -> None:
    file.write_text(file.read_text().replace(str(tiny_data), str(tmp_path / "nowhere")))
    answer = wav2pix("sweep", "run", str(file))
    assert answer.returncode == 1
    assert "nowhere" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_speaker_to_hold_out_that_is_not_there_is_named_before_anything_starts(file: Path) -> None:
    file.write_text(file.read_text().replace("search:", "settings: {hold_out_identities: [speaker7]}\nsearch:"))
    answer = wav2pix("sweep", "run", str(file), "--dry-run")
    assert answer.returncode == 1
    assert answer.stderr.startswith("hold_out_identities: no speaker 'speaker7' in ")
    assert "did you mean 'speaker0" in answer.stderr


def test_a_good_file_is_valid(file: Path) -> None:
    answer = wav2pix("sweep", "validate", str(file))
    assert answer.returncode == 0
    assert "6 trials of at most 4 epochs" in answer.stdout


def test_a_dry_run_tells_the_plan_and_does_nothing(file: Path, tmp_path: Path, tiny_data: Path) -> None:
    plan = json.loads(wav2pix("sweep", "run", str(file), "--dry-run", "--json").stdout)
    assert plan["trials"] == "6, of which 0 are finished"
    assert plan["epochs"] == "at most 4 a trial, 24 still to run"
    assert plan["at_once"] == "2, of 0.5 CPUs, 0.25 GPUs"
    assert plan["data_hash"] == open_dataset(tiny_data).content_hash
    assert plan["sweep_folder"] == str(tmp_path / "runs" / "tiny")
    assert plan["tracking"] == f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}"
    assert not (tmp_path / "runs").exists()
    assert "6, of which 0 are finished" in wav2pix("sweep", "run", str(file), "--dry-run").stdout


@pytest.mark.parametrize("command", ["status", "compare", "best"])
def test_a_sweep_that_is_not_there_is_one_line(tmp_path: Path, command: str) -> None:
    answer = wav2pix("sweep", command, "nothing", "--storage", str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr == f"no sweep 'nothing' in {tmp_path}; see `wav2pix sweep list`\n"


def test_an_empty_storage_has_no_sweeps(tmp_path: Path) -> None:
    assert json.loads(wav2pix("sweep", "list", "--storage", str(tmp_path), "--json").stdout) == []


def test_a_wrong_option_is_exit_code_2() -> None:
    assert wav2pix("sweep", "run", "x.yaml", "--nonsense").returncode == 2


def test_every_error_of_the_package_has_one_root() -> None:
    from orchestration import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, OrchestrationError) for kind in kinds)
