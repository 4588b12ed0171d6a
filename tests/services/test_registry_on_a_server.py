"""The best of a sweep goes to a real registry and comes home by name."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import numpy as np
import pytest
import soundfile
from PIL import Image

from deploy.local import Services
from orchestration.driver import Result
from tests.orchestration.finished import finished_sweep

pytestmark = pytest.mark.slow


@pytest.fixture
def sweep(services: Services, tmp_path: Path) -> Result:
    """Two trials on the server; the best is number 1."""
    name = f"registry-{secrets.token_hex(4)}"
    return finished_sweep(tmp_path / "runs", [[0.3], [0.1]], name=name, uri=services.mlflow.url)


def wav2pix(services: Services, *arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("wav2pix"), *arguments]
    environment = os.environ | services.env
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def export(services: Services, sweep: Result, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    storage = sweep.folder.root.parent
    return wav2pix(services, "sweep", "export", sweep.spec.name, "--storage", storage, "--out", out, *options)


def speech_file(path: Path) -> Path:
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    return path


def test_the_champion_of_a_sweep_draws_a_face_wherever_the_server_is_seen(
    services: Services, sweep: Result, tmp_path: Path
) -> None:
    name = f"wav2pix-{sweep.spec.name}"
    assert (
        f"models:/{name}@champion (version 1) is trial 0"
        in export(services, sweep, tmp_path / "first", "--trial", "0").stdout
    )
    exported = export(services, sweep, tmp_path / "best")
    assert f"models:/{name}@champion (version 2) is trial 1, epoch 2 now" in exported.stdout
    assert "already" in export(services, sweep, tmp_path / "best").stdout

    speech = speech_file(tmp_path / "speech.wav")
    for model, out in {f"models:/{name}@champion": "a.png", tmp_path / "best": "b.png"}.items():
        wav2pix(services, "generate", "--model", model, speech, "--out", tmp_path / out)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (64, 64)

    with services.postgres.connect() as connection:
        rows = connection.execute(
            "select alias, version from registered_model_aliases where name = %s order by alias", (name,)
        ).fetchall()
    assert [tuple(row) for row in rows] == [("champion", 2), ("previous", 1)]


def test_the_registered_model_lies_in_the_bucket_and_loads_through_mlflow(
    services: Services, sweep: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(services, sweep, tmp_path / "best")
    for key, value in services.env.items():
        monkeypatch.setenv(key, value)
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="wav2pix-mlflow")
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    assert any(key.endswith("/artifacts/export/epoch-0002/MLmodel") for key in keys)
    assert any(key.endswith("/export/epoch-0002/data/export/model.safetensors") for key in keys)

    load = (
        "import sys, mlflow.pyfunc, numpy as np\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "print(model.predict(np.zeros((2, 16000), np.float32)).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", load, f"models:/wav2pix-{sweep.spec.name}@champion"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "(2, 64, 64, 3)\n"), done.stderr


def test_a_checkpoint_in_a_bucket_is_found_by_best_and_exported(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in services.env.items():
        monkeypatch.setenv(key, value)
    name = f"bucket-{secrets.token_hex(4)}"
    artifacts = {"uri": services.env["WAV2PIX_ARTIFACTS"], "endpoint": services.env["AWS_ENDPOINT_URL"]}
    sweep = finished_sweep(tmp_path / "runs", [[0.3], [0.1]], name=name, tracked=False, artifacts=artifacts)
    shutil.rmtree(sweep.folder.root / "trials")
    printed = wav2pix(services, "sweep", "best", name, "--storage", tmp_path / "runs", "--json").stdout
    place = json.loads(printed)["best"][0]["checkpoint"]
    assert place.startswith(f"s3://wav2pix/sweeps/{name}-") and place.endswith(
        "/trials/0001/checkpoints/epoch-0002"
    )
    bucket, _, key = place.removeprefix("s3://").partition("/")
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{key}/")["Contents"]
    assert f"{key}/checkpoint/model.safetensors" in [each["Key"] for each in found]
    export(services, sweep, tmp_path / "best", "--no-register")
    assert (tmp_path / "best" / "model.safetensors").stat().st_size > 0


def test_an_export_is_whole_while_the_server_is_dead_and_registered_when_it_is_back(
    services: Services, sweep: Result, tmp_path: Path
) -> None:
    name = f"wav2pix-{sweep.spec.name}"
    services.mlflow.kill()
    try:
        away = export(services, sweep, tmp_path / "best")
        assert away.stderr.startswith(f"warning: {name} is not registered: tracking at ")
        assert "champion" not in away.stdout
        assert (tmp_path / "best" / "model.safetensors").is_file()
        asked = wav2pix(
            services,
            *("generate", "--model", f"models:/{name}@champion"),
            *(speech_file(tmp_path / "speech.wav"), "--out", tmp_path / "face.png"),
            status=1,
        )
        assert services.mlflow.url in asked.stderr
    finally:
        services.mlflow.start()
    assert f"{name}@champion (version 1)" in export(services, sweep, tmp_path / "best").stdout
