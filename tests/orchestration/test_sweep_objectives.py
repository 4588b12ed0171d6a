"""Any measure can be an objective, and two of them at once: a real sweep of real training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SPEC = """\
name: two
data: {data}
preset: small
settings:
  batch_size: 8
  encoder.channels: [8, 8, 8, 8, 8, 8]
  generator.channels: [16, 16, 16, 16, 16]
  discriminator.channels: [8, 8, 8, 8]
  evaluation.costly: [detection_rate, fid]
  evaluation.lengths: [0.3]
search:
  optimizer.lr_generator: {{type: log_uniform, low: 1e-4, high: 5e-3}}
objectives:
  - {{metric: cosine_to_real_0.3s, direction: maximize}}
  - {{metric: fid, direction: minimize}}
trials: 3
epochs: 1
storage: {storage}
"""


def wav2pix(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_sweep_searches_by_two_measures_at_once(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    file = tmp_path / "two.yaml"
    file.write_text(SPEC.format(data=tiny_data, storage=tmp_path / "runs"))
    wav2pix("sweep", "run", str(file))
    where = ("--storage", str(tmp_path / "runs"), "--json")
    trials: list[dict[str, Any]] = json.loads(wav2pix("sweep", "compare", "two", *where))
    assert [trial["state"] for trial in trials] == ["complete"] * 3
    points = [(trial["values"]["cosine_to_real_0.3s"], trial["values"]["fid"]) for trial in trials]
    unbeaten = [
        point
        for point in points
        if not any(a >= point[0] and b <= point[1] and (a, b) != point for a, b in points)
    ]
    best = json.loads(wav2pix("sweep", "best", "two", *where))["best"]
    chosen = [(one["values"]["cosine_to_real_0.3s"], one["values"]["fid"]) for one in best]
    assert sorted(chosen) == sorted(unbeaten)
