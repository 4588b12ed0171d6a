"""From a sweep file to a face drawn by the champion, on real services, seen with their own commands."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.artifacts import install_aws
from deploy.local import Services
from tests.services.running import Sweep, check_checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SETTINGS = {
    "batch_size": 8,
    "encoder.channels": [8, 8, 8, 8, 8, 8],
    "generator.channels": [16, 16, 16, 16, 16],
    "discriminator.channels": [8, 8, 8, 8],
}
SEARCH = {"optimizer.lr_generator": {"type": "log_uniform", "low": 1e-4, "high": 5e-3}}
TRIALS, EPOCHS = 2, 3
RATE_HZ = 16000


@pytest.fixture(scope="module")
def sweep(services: Services, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """A finished one of the real trainer, whose best trial was exported."""
    name = f"journey-{secrets.token_hex(4)}"
    fields = {"settings": SETTINGS, "search": SEARCH, "trials": TRIALS, "epochs": EPOCHS, "max_concurrent": 2}
    root = tmp_path_factory.mktemp("journey")
    sweep = Sweep.make(root, tiny_data, name, services.env, 0, **fields)
    printed = sweep.run("sweep", "run", str(sweep.file))
    assert "Best: trial" in printed
    assert "warning" not in printed
    sweep.run("sweep", "export", str(sweep.file), "--out", str(root / "best"))
    yield sweep


def command(sweep: Sweep, *arguments: str | Path) -> str:
    """What a program of somebody else's prints in the environment of the sweep."""
    done = subprocess.run(
        list(map(str, arguments)), env=dict(sweep.env), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_parent_and_children_are_in_the_database(services: Services, sweep: Sweep) -> None:
    query = """
        SELECT child.value, runs.status, parent.value
        FROM tags sweep
        JOIN runs USING (run_uuid)
        JOIN tags child ON child.run_uuid = runs.run_uuid AND child.key = 'wav2pix.trial'
        LEFT JOIN tags parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'mlflow.parentRunId'
        WHERE sweep.key = 'wav2pix.sweep' AND sweep.value = %s
        ORDER BY child.value
    """
    with services.postgres.connect() as connection:
        rows = connection.execute(query, [sweep.folder.name]).fetchall()
    parent = sweep.runs()["sweep"].info.run_id
    assert rows == [
        ("0000", "FINISHED", parent),
        ("0001", "FINISHED", parent),
        ("sweep", "FINISHED", None),
    ]


def test_runs_and_pictures_are_seen_with_the_mlflow_command(sweep: Sweep) -> None:
    sweep.check_whole(TRIALS, EPOCHS)
    run = sweep.runs()["0001"].info
    mlflow = (sys.executable, "-m", "mlflow")
    assert run.run_id in command(sweep, *mlflow, "runs", "list", "--experiment-id", run.experiment_id)
    listed = json.loads(command(sweep, *mlflow, "artifacts", "list", "--run-id", run.run_id, "-a", "images"))
    assert sum(file["path"].endswith(".png") for file in listed) == EPOCHS


def test_checkpoints_are_seen_with_the_aws_command(services: Services, sweep: Sweep) -> None:
    check_checkpoints(services, sweep, EPOCHS)
    aws = install_aws().with_name("aws")
    listed = command(sweep, aws, "s3", "ls", "--recursive", f"s3://wav2pix/sweeps/{sweep.folder.name}-")
    for epoch in (EPOCHS - 1, EPOCHS):
        assert f"/trials/0001/checkpoints/epoch-{epoch:04d}/manifest.json" in listed


def test_the_champion_draws_a_face(sweep: Sweep, tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    soundfile.write(tmp_path / "speech.wav", 0.1 * np.sin(2 * np.pi * 150 * seconds), RATE_HZ)
    model = f"models:/wav2pix-{sweep.folder.name}@champion"
    face = tmp_path / "face.png"
    sweep.run("generate", "--model", model, str(tmp_path / "speech.wav"), "--out", str(face))
    with Image.open(face) as picture:
        assert picture.size[1] == 64


def test_running_it_again_changes_nothing(sweep: Sweep) -> None:
    before = {trial: run.to_dictionary() for trial, run in sweep.runs().items()}
    assert "is complete" in sweep.run("sweep", "run", str(sweep.file))
    assert {trial: run.to_dictionary() for trial, run in sweep.runs().items()} == before
