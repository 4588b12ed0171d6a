"""An export as a model of MLflow's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from orchestration.export import export_trial
from orchestration.tracking.models import save_model
from tests.orchestration.finished import finished_sweep
from wav2pix.audio import load_speech
from wav2pix.errors import AudioError
from wav2pix.pyfunc import _load_pyfunc

# What a machine that only draws faces does without: none of it may be imported.
ELSEWHERE = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = {"ray", "optuna", "orchestration", "slurm", "submitit", "boto3", "soundfile", "soxr"}

class Nothing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"no module {name} here", name=name)

sys.meta_path.insert(0, Nothing())
import mlflow.pyfunc
import numpy as np

model = mlflow.pyfunc.load_model(sys.argv[1])
import wav2pix
assert wav2pix.__file__.startswith(sys.argv[1]), wav2pix.__file__
np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))
for wrong in (np.zeros((1, 100), np.float32), np.zeros((1, 16000), np.float64)):
    try:
        model.predict(wrong)
    except mlflow.exceptions.MlflowException as error:
        print("refused:", str(error).splitlines()[0])
"""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export_trial(finished_sweep(folder / "runs", [[0.3]], tracked=False), None, folder / "best")
    return folder / "best"


def noise(windows: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (windows, 16000)).astype(np.float32)


@pytest.mark.slow
def test_mlflow_loads_an_export_where_torch_is_and_ray_is_not(export: Path, tmp_path: Path) -> None:
    speech = noise(3)
    soundfile.write(tmp_path / "speech.wav", speech.ravel(), 16000, subtype="FLOAT")
    np.save(tmp_path / "speech.npy", load_speech(tmp_path / "speech.wav").reshape(3, 16000))
    save_model(export, tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, tmp_path / "model", tmp_path / "speech.npy", tmp_path / "faces.npy"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused:") == 2
    faces = np.load(tmp_path / "faces.npy")
    assert (faces.shape, faces.dtype) == ((3, 64, 64, 3), np.dtype(np.uint8))

    command = [Path(sys.executable).with_name("wav2pix"), "generate", "--model", export]
    subprocess.run(
        [*command, tmp_path / "speech.wav", "--out", tmp_path / "drawn"],
        check=True,
        timeout=300,
        capture_output=True,
    )
    drawn = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "drawn").iterdir())]
    assert np.array_equal(faces, np.stack(drawn))


def test_a_model_says_what_it_takes_what_it_gives_and_what_it_needs(export: Path, tmp_path: Path) -> None:
    save_model(export, tmp_path / "model")
    text = (tmp_path / "model" / "MLmodel").read_text()
    assert '{"dtype": "float32", "shape": [-1, 16000]}' in text.replace("\n", " ").replace("    ", "")
    needs = (tmp_path / "model" / "requirements.txt").read_text().split()
    names = {need.split("==")[0] for need in needs}
    assert names == {"mlflow", "torch", "numpy", "pydantic", "safetensors"}
    assert not any("+" in need for need in needs)
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix in (".pkl", ".pyc", ".pickle")]


def test_speech_of_another_length_is_refused(export: Path) -> None:
    model = _load_pyfunc(str(export))
    with pytest.raises(AudioError, match=r"speech of shape \(2, 8000\); this model takes \(N, 16000\)"):
        model.predict(noise(2)[:, :8000])
    assert model.predict(noise(0)).shape == (0, 64, 64, 3)
