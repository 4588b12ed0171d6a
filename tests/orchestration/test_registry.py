"""The model registry on the embedded store: who becomes champion, and what is said when nobody does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestration import registry
from orchestration.driver import Result
from orchestration.embedded import make_database
from orchestration.errors import StorageError, TrackingError
from orchestration.export import export_trial
from orchestration.registry import CHAMPION, PREVIOUS, Registration, compared, fetch, register
from orchestration.tracking.models import ModelRegistry
from tests.orchestration.finished import EPOCH, finished_sweep
from wav2pix.checkpoint import read_info
from wav2pix.files import write_atomically

NAME = "wav2pix-tiny"


@pytest.fixture(autouse=True)
def only_the_embedded_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, which takes seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    make_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def sweep(tmp_path: Path, database: Path) -> Result:
    """Three trials; the best is number 1."""
    (tmp_path / "runs").mkdir()
    shutil.copyfile(database, tmp_path / "runs" / "mlflow.db")
    return finished_sweep(tmp_path / "runs", [[0.3], [0.1], [0.2]])


def export_and_register(result: Result, trial: int | None, out: Path) -> Registration:
    return register(result, export_trial(result, trial, out))


def models(result: Result) -> ModelRegistry:
    return ModelRegistry(f"sqlite:///{result.folder.root.parent.absolute() / 'mlflow.db'}")


def trial_at(result: Result, alias: str) -> str | None:
    version = models(result).at(NAME, alias)
    return version.tags["wav2pix.trial"] if version else None


def test_the_first_export_is_champion_and_a_better_one_takes_its_place(sweep: Result, tmp_path: Path) -> None:
    first = export_and_register(sweep, 0, tmp_path / "out")
    assert (first.version, first.is_new) == (1, True)
    assert (trial_at(sweep, CHAMPION), trial_at(sweep, PREVIOUS)) == ("0000", None)
    better = export_and_register(sweep, None, tmp_path / "out")
    assert (better.version, better.is_new) == (2, True)
    assert (trial_at(sweep, CHAMPION), trial_at(sweep, PREVIOUS)) == ("0001", "0000")
    assert "trial 1, epoch 2 now; before it was version 1" in better.text

    worse = export_and_register(sweep, 2, tmp_path / "out")
    assert (worse.version, worse.is_new) == (2, False)
    assert "this one is worse: l1 0.2, the champion's is 0.1" in worse.text
    again = export_and_register(sweep, None, tmp_path / "out")
    assert (again.version, again.is_new) == (2, False)
    assert "is trial 1, epoch 2 already" in again.text
    assert (trial_at(sweep, CHAMPION), trial_at(sweep, PREVIOUS)) == ("0001", "0000")
    assert models(sweep).at(NAME, "3") is None


def test_a_registration_that_died_half_way_is_completed_by_the_next(
    sweep: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_and_register(sweep, 0, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_promote", die)
        with pytest.raises(KeyboardInterrupt):
            export_and_register(sweep, 1, tmp_path / "out")
    assert trial_at(sweep, CHAMPION) == "0000"
    done = export_and_register(sweep, 1, tmp_path / "out")
    assert done.version == 2
    assert (trial_at(sweep, CHAMPION), trial_at(sweep, PREVIOUS)) == ("0001", "0000")


def die(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_sweep_of_the_same_name_on_other_data_does_not_replace_the_champion(
    sweep: Result, tmp_path: Path
) -> None:
    export_and_register(sweep, None, tmp_path / "out")
    sweep.folder.root.rename(tmp_path / "old")
    other = finished_sweep(tmp_path / "runs", [[0.01]], data_hash="b" * 64)
    refused = export_and_register(other, None, tmp_path / "out")
    assert (refused.version, refused.is_new) == (1, False)
    assert f"its data set is another ({'a' * 64}, here {'b' * 64})" in refused.text


def test_a_registered_model_comes_home_by_name(
    sweep: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_and_register(sweep, None, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    for number, address in enumerate([f"models:/{NAME}@champion", f"models:/{NAME}/1"]):
        folder = fetch(address, tmp_path / f"fetched-{number}")
        assert (folder / "model.safetensors").read_bytes() == (
            tmp_path / "out" / "model.safetensors"
        ).read_bytes()
        assert read_info(folder).epoch == EPOCH
    with pytest.raises(TrackingError, match="no model 'wav2pix-tiny' with alias 'champoin'"):
        fetch(f"models:/{NAME}@champoin", tmp_path / "none")
    with pytest.raises(TrackingError, match="no model 'wav2pix-other' with version 3"):
        fetch("models:/wav2pix-other/3", tmp_path / "none")
    with pytest.raises(TrackingError, match="write models:/NAME@champion or models:/NAME/VERSION"):
        fetch(f"models:/{NAME}", tmp_path / "none")


def test_without_a_store_the_error_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackingError, match="set MLFLOW_TRACKING_URI"):
        fetch(f"models:/{NAME}@champion", tmp_path / "none")
    assert not (tmp_path / "runs").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(TrackingError, match=r"there is no tracking store .*other\.db"):
        fetch(f"models:/{NAME}@champion", tmp_path / "none")
    assert not (tmp_path / "other.db").exists()


def test_an_export_is_complete_while_the_server_is_away(tmp_path: Path) -> None:
    away = "http://127.0.0.1:9"
    result = finished_sweep(tmp_path / "runs", [[0.3]], uri=away, tracked=False)
    done = export_and_register(result, None, tmp_path / "out")
    assert (done.version, done.is_new) == (None, False)
    assert done.text.startswith(f"warning: {NAME} is not registered: tracking at {away} failed")
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert json.loads((tmp_path / "out" / "export.json").read_text())["trial"] == 0


def test_a_trial_whose_run_was_not_sent_yet_is_not_registered(sweep: Result, tmp_path: Path) -> None:
    unsent = finished_sweep(sweep.folder.root.parent, [[0.3]], name="unsent", tracked=False)
    done = export_and_register(unsent, None, tmp_path / "out")
    assert done.version is None
    assert "has no run of trial 0 yet (`wav2pix sweep sync unsent` sends what waits)" in done.text


def test_conditions_choose_what_is_exported(tmp_path: Path) -> None:
    sweep = finished_sweep(tmp_path / "runs", [[0.3], [0.1], [0.2]], tracked=False)
    exported = export_trial(sweep, None, tmp_path / "out", where="metrics.l1 > 0.15")
    assert exported.record.number == 2
    card = (tmp_path / "out" / "README.md").read_text()
    assert "its l1 of 0.2 in epoch 2 is the lowest among trials with metrics.l1 > 0.15" in card


def test_a_damaged_checkpoint_is_not_exported(tmp_path: Path) -> None:
    sweep = finished_sweep(tmp_path / "runs", [[0.3], [0.1], [0.2]], tracked=False)
    (weights,) = (sweep.folder.root / "trials" / "0001").glob("checkpoints/*/checkpoint/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    write_atomically(weights, bytes(content))
    with pytest.raises(StorageError, match=r"model\.safetensors"):
        export_trial(sweep, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def tags(value: str, objective: str = "minimize l1", data: str = "d") -> dict[str, str]:
    return {"wav2pix.value": value, "wav2pix.objective": objective, "wav2pix.data_hash": data}


def test_only_what_is_better_by_the_same_objective_on_the_same_data_replaces_a_champion() -> None:
    both = "minimize l1, maximize sharpness"
    assert compared(tags("0.1"), tags("0.2")) == ""
    assert "worse: l1 0.2, the champion's is 0.1" in compared(tags("0.2"), tags("0.1"))
    assert "as good, not better" in compared(tags("0.1"), tags("0.1"))
    assert compared(tags("0.1, 0.6", both), tags("0.1, 0.5", both)) == ""
    assert "neither beats the other" in compared(tags("0.05, 0.4", both), tags("0.1, 0.5", both))
    assert "its data set is another (e, here d)" in compared(tags("0.1"), tags("0.2", data="e"))
    other = compared(tags("0.1"), tags("0.2", "minimize kid"))
    assert "its objective is another (minimize kid, here minimize l1)" in other
    assert "its data set is another (unknown, here d)" in compared(tags("0.1"), {})
