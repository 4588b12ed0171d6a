"""The proof of parity: ``tests/parity.py`` on the fixture, where there is one, and on one made here."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import original_network
import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "parity.py"
FIXTURE = Path(os.environ.get("WAV2PIX_PARITY", SCRIPT.parents[2] / "shared/reference/parity"))


def _parity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(fixture: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--fixture", str(fixture)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fixture of another seed, whose outputs come from the plain restatement of the original."""
    parity, seed = _parity(), 7
    described = {"seed": seed, "generator": {}, "discriminator": {}}
    expected = {}
    for size in (64, 128):
        shapes = original_network.generator_shapes(size, 4, 10), original_network.discriminator_shapes(size)
        described["generator"][str(size)], described["discriminator"][str(size)] = shapes
        speech = torch.from_numpy(parity.fill("speech", (2, 16000), seed)).float()
        face = torch.from_numpy(parity.fill(f"face{size}", (2, 3, size, size), seed)).float()
        expected |= original_network.outputs(*(parity.state_dict(part, seed) for part in shapes), speech, face)
    folder = tmp_path_factory.mktemp("parity")
    (folder / "parity.json").write_text(json.dumps(described))
    np.savez(folder / "parity.npz", **{name: value.numpy() for name, value in expected.items()})
    return folder


@pytest.mark.slow
def test_imported_networks_return_what_the_original_returned() -> None:
    if not (FIXTURE / "parity.json").is_file():
        pytest.skip(f"no fixture at {FIXTURE}; set WAV2PIX_PARITY")
    finished = _run(FIXTURE)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.count("e-") >= 10  # one error for each of five outputs in two sizes


@pytest.mark.slow
def test_parity_holds_for_a_fixture_of_another_seed(made_fixture: Path) -> None:
    finished = _run(made_fixture)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.slow
def test_parity_fails_when_one_output_differs_by_a_thousandth(made_fixture: Path, tmp_path: Path) -> None:
    expected = dict(np.load(made_fixture / "parity.npz"))
    expected["score_128"] = expected["score_128"] * 1.001
    (tmp_path / "parity.json").write_text((made_fixture / "parity.json").read_text())
    np.savez(tmp_path / "parity.npz", **expected)
    finished = _run(tmp_path)
    assert finished.returncode == 1
    assert "too large" in next(line for line in finished.stdout.splitlines() if line.startswith("score_128"))


def test_a_missing_fixture_is_named_without_a_traceback(tmp_path: Path) -> None:
    finished = _run(tmp_path / "nowhere")
    assert finished.returncode == 2
    assert "nowhere: no parity.json and no parity.npz" in finished.stderr
    assert "Traceback" not in finished.stderr
