"""A sweep as a user lives it: started, killed, interrupted, finished, taken home. Real training."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from PIL import Image

from orchestration.driver import study_url
from orchestration.folders import Storage
from orchestration.load import load_spec
from orchestration.records import TrialRecord
from orchestration.study import Study
from wav2pix.data import open_dataset

pytestmark = pytest.mark.slow

DEADLINE_S = 240.0
WAV2PIX = [sys.executable, "-m", "orchestration"]
SPEC = """\
name: tiny
data: {data}
preset: small
settings:
  batch_size: 8
  encoder.channels: [8, 8, 8, 8, 8, 8]
  generator.channels: [16, 16, 16, 16, 16]
  discriminator.channels: [8, 8, 8, 8]
search:
  optimizer.lr_generator: {{type: log_uniform, low: 1e-4, high: 5e-3}}
  loss.adversarial: {{type: categorical, choices: [hinge, least_squares]}}
  loss.real_label: {{type: uniform, low: 0.8, high: 1.0, when: {{loss.adversarial: least_squares}}}}
scheduler: {{type: asha, min_epochs: 3}}
objective: {{metric: l1, direction: minimize}}
trials: 6
epochs: 12
max_concurrent: 2
start_with: [default]
storage: {storage}
"""


@dataclass
class Journey:
    """What was seen on the way."""

    file: Path
    storage: Path
    output: dict[str, str] = field(default_factory=dict)
    code: dict[str, int] = field(default_factory=dict)
    records: dict[str, list[TrialRecord]] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    survivors: list[str] = field(default_factory=list)

    def wav2pix(self, *arguments: str) -> str:
        done = subprocess.run(
            [*WAV2PIX, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def look(self, step: str) -> None:
        self.records[step] = read(self.file)
        client = MlflowClient(f"sqlite:///{self.storage / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        self.runs[step] = list(client.search_runs([experiment.experiment_id]))

    def trial_runs(self, step: str) -> dict[str, Run]:
        return {run.data.tags["wav2pix.trial"]: run for run in self.runs[step]}


def study(file: Path) -> Study:
    spec = load_spec(file)
    return Study(spec, study_url(Storage(spec.storage).sweep(spec.name)))


def read(file: Path) -> list[TrialRecord]:
    with closing(study(file)) as opened:
        return opened.records()


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {deadline_s} s"
        time.sleep(0.2)


def run_until(
    journey: Journey, step: str, condition: Callable[[list[TrialRecord]], bool], sign: signal.Signals
) -> None:
    """Start the sweep, send the driver a signal as soon as a condition holds, and note what it said."""
    database = journey.storage / "tiny" / "study.db"
    with (journey.file.parent / f"{step}.txt").open("w+") as output:
        driver = subprocess.Popen(
            [*WAV2PIX, "sweep", "run", str(journey.file)], stdout=output, stderr=output, start_new_session=True
        )
        try:
            wait_for(
                lambda: driver.poll() is not None or (database.exists() and _holds(journey.file, condition)),
                step,
            )
            assert driver.poll() is None, (journey.file.parent / f"{step}.txt").read_text()
            # Ctrl-C in a terminal goes to all processes of the command.
            os.killpg(driver.pid, sign) if sign == signal.SIGINT else driver.send_signal(sign)
            journey.code[step] = driver.wait(timeout=60)
        finally:
            if driver.poll() is None:
                driver.kill()
                driver.wait()
    journey.output[step] = (journey.file.parent / f"{step}.txt").read_text()


def _holds(file: Path, condition: Callable[[list[TrialRecord]], bool]) -> bool:
    return condition(read(file))


def processes_of(folder: str) -> list[str]:
    """Command lines that name a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if folder in command:
            found.append(command)
    return found


@pytest.fixture(scope="module")
def journey(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("journey")
    journey = Journey(folder / "tiny.yaml", folder / "runs")
    journey.file.write_text(SPEC.format(data=tiny_data, storage=journey.storage))
    os.environ.pop("MLFLOW_TRACKING_URI", None)

    run_until(
        journey, "killed", lambda records: _finished(records) >= 1 and _under_way(records), signal.SIGKILL
    )
    scratch = json.loads((journey.storage / "tiny" / "open-runs.json").read_text())["scratch"]
    deadline = time.monotonic() + 30
    while processes_of(scratch) and time.monotonic() < deadline:
        time.sleep(0.2)
    journey.survivors = processes_of(scratch)
    journey.output["status after kill"] = journey.wav2pix(
        "sweep", "status", "tiny", "--storage", str(journey.storage), "--json"
    )
    journey.look("killed")

    before = _finished(journey.records["killed"])
    run_until(
        journey,
        "interrupted",
        lambda records: _finished(records) > before and _under_way(records),
        signal.SIGINT,
    )
    journey.look("interrupted")

    journey.output["finished"] = journey.wav2pix("sweep", "run", str(journey.file))
    journey.look("finished")

    contents = fingerprint(journey.storage)
    started = time.monotonic()
    journey.output["again"] = journey.wav2pix("sweep", "run", str(journey.file))
    journey.seconds["again"] = time.monotonic() - started
    journey.output["changed"] = str(
        sorted(key for key, value in fingerprint(journey.storage).items() if contents.get(key) != value)
    )
    yield journey


def _finished(records: list[TrialRecord]) -> int:
    return sum(record.state != "running" for record in records)


def _under_way(records: list[TrialRecord]) -> bool:
    """A trial has done some epochs, and has some left."""
    return any(record.state == "running" and 1 <= record.progress.epochs <= 6 for record in records)


def fingerprint(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_no_process_outlives_a_killed_driver(journey: Journey) -> None:
    assert journey.code["killed"] == -signal.SIGKILL
    assert journey.survivors == []


def test_status_after_a_kill_closes_the_runs_that_were_left_open(journey: Journey) -> None:
    status = json.loads(journey.output["status after kill"])
    assert status["state"] == "stopped"
    assert status["unfinished"] >= 1
    assert [run.info.run_name for run in journey.runs["killed"] if run.info.status == "RUNNING"] == []


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(journey: Journey) -> None:
    assert journey.code["interrupted"] == 130
    assert f"Go on with: wav2pix sweep run {journey.file}" in journey.output["interrupted"].replace("\n", "")
    assert "Traceback" not in journey.output["interrupted"]
    runs = journey.trial_runs("interrupted")
    assert {run.info.status for run in runs.values()} <= {"FINISHED", "KILLED"}
    assert runs["sweep"].data.tags["wav2pix.outcome"] == "interrupted"
    unfinished = [record for record in journey.records["interrupted"] if record.state == "running"]
    assert unfinished
    for record in unfinished:
        assert runs[f"{record.number:04d}"].data.tags["wav2pix.outcome"] == "interrupted"


def test_finished_trials_are_not_run_again(journey: Journey) -> None:
    for step, later in (("killed", "interrupted"), ("interrupted", "finished")):
        done = [record for record in journey.records[step] if record.state != "running"]
        assert done
        for record in done:
            assert journey.records[later][record.number] == record
            name = f"{record.number:04d}"
            assert journey.trial_runs(later)[name].info.end_time == journey.trial_runs(step)[name].info.end_time


def test_an_unfinished_trial_goes_on_with_its_number_parameters_and_run(journey: Journey) -> None:
    for step, later in (("killed", "finished"), ("interrupted", "finished")):
        for record in journey.records[step]:
            # A driver may have died while it drew up the parameters of a trial: those it had stay.
            assert record.params.items() <= journey.records[later][record.number].params.items()
            name = f"{record.number:04d}"
            if not record.progress.epochs:
                continue
            assert journey.trial_runs(later)[name].info.run_id == journey.trial_runs(step)[name].info.run_id


def test_every_trial_is_one_run_with_a_truthful_status(journey: Journey) -> None:
    names = Counter(run.data.tags["wav2pix.trial"] for run in journey.runs["finished"])
    assert names == Counter(["sweep", *(f"{number:04d}" for number in range(6))])
    runs = journey.trial_runs("finished")
    expected = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
    for record in journey.records["finished"]:
        run = runs[f"{record.number:04d}"]
        assert run.info.status == expected[record.state]
        assert run.data.tags["wav2pix.outcome"] == record.state
        assert run.data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
    assert runs["sweep"].info.status == "FINISHED"


def test_every_epoch_of_every_metric_is_logged_once(journey: Journey) -> None:
    client = MlflowClient(f"sqlite:///{journey.storage / 'mlflow.db'}")
    for record in journey.records["finished"]:
        run = journey.trial_runs("finished")[f"{record.number:04d}"]
        for metric in ("l1", "identity_accuracy", "loss_generator"):
            steps = [point.step for point in client.get_metric_history(run.info.run_id, metric)]
            assert steps == list(range(1, record.progress.epochs + 1)), (record.number, metric)


def test_a_run_tells_all_that_it_takes_to_do_it_again(journey: Journey, tiny_data: Path) -> None:
    runs = journey.trial_runs("finished")
    complete = next(record for record in journey.records["finished"] if record.state == "complete")
    run = runs[f"{complete.number:04d}"]
    client = MlflowClient(f"sqlite:///{journey.storage / 'mlflow.db'}")
    assert run.data.params["optimizer.lr_generator"] == str(complete.params["optimizer.lr_generator"])
    assert run.data.params["batch_size"] == "8"
    assert run.data.tags["wav2pix.data_hash"] == open_dataset(tiny_data).content_hash
    assert len(run.data.tags["wav2pix.code_hash"]) == 16
    assert runs["sweep"].data.tags["wav2pix.code_hash"] == run.data.tags["wav2pix.code_hash"]
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"config.json", "environment", "images", "model"} <= artifacts
    pictures = {file.path.split("+")[2] for file in client.list_artifacts(run.info.run_id, "images")}
    assert {"1", "12"} <= pictures


def test_a_complete_sweep_says_so_at_once_and_changes_nothing(journey: Journey) -> None:
    assert "is complete: 6 of 6 trials" in journey.output["again"]
    assert journey.seconds["again"] < 10
    assert journey.output["changed"] == "[]"


def test_the_end_shows_the_trials_the_best_one_and_where_to_look(journey: Journey) -> None:
    output = journey.output["finished"]
    assert "Best: trial" in output
    assert "mlflow ui --backend-store-uri sqlite:///" in output
    assert str(journey.storage / "tiny" / "best.png") in output
    with Image.open(journey.storage / "tiny" / "best.png") as picture:
        assert picture.width > 8 * 64


def test_compare_and_best_agree_with_mlflow_to_the_digit(journey: Journey) -> None:
    where = ("--storage", str(journey.storage), "--json")
    rows = json.loads(journey.wav2pix("sweep", "compare", "tiny", *where))
    client = MlflowClient(f"sqlite:///{journey.storage / 'mlflow.db'}")
    runs = journey.trial_runs("finished")
    for row in rows:
        history = client.get_metric_history(runs[f"{row['trial']:04d}"].info.run_id, "l1")
        assert row["values"]["l1"] == min(point.value for point in history)
        assert row["epoch"] == min(history, key=lambda point: point.value).step
    best = json.loads(journey.wav2pix("sweep", "best", "tiny", *where))
    assert best["best"][0].items() >= rows[0].items()
    assert rows[0]["values"]["l1"] == min(row["values"]["l1"] for row in rows)
    assert runs["sweep"].data.metrics["best_l1"] == rows[0]["values"]["l1"]


def test_the_best_trial_is_taken_home_and_draws_a_face(
    journey: Journey, tiny_data: Path, tmp_path: Path
) -> None:
    storage = ("--storage", str(journey.storage))
    best = json.loads(journey.wav2pix("sweep", "best", "tiny", *storage, "--json"))["best"][0]
    out = tmp_path / "best"
    journey.wav2pix("sweep", "export", "tiny", "--out", str(out), *storage)
    card = (out / "README.md").read_text()
    assert open_dataset(tiny_data).content_hash in card
    assert f"{best['values']['l1']:.4f}" in card
    assert json.loads((out / "export.json").read_text())["trial"] == best["trial"]
    assert (out / "pictures.png").read_bytes() == (journey.storage / "tiny" / "best.png").read_bytes()

    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    soundfile.write(tmp_path / "speech.wav", noise, 16000)
    journey.wav2pix(
        "generate", "--model", str(out), str(tmp_path / "speech.wav"), "--out", str(tmp_path / "face.png")
    )
    with Image.open(tmp_path / "face.png") as face:
        assert face.size == (64, 64)


def refuse(*arguments: str) -> str:
    """What a command says that cannot be done: one line, no traceback."""
    done = subprocess.run(
        [*WAV2PIX, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_strangers_folder_is_not_overwritten(journey: Journey, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    message = refuse("sweep", "export", "tiny", "--out", str(tmp_path), "--storage", str(journey.storage))
    assert "no export of ours" in message
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def changed(journey: Journey, tmp_path: Path, *change: str) -> str:
    file = tmp_path / "tiny.yaml"
    file.write_text(journey.file.read_text().replace(*change))
    return str(file)


def test_a_changed_sweep_file_is_refused_with_what_differs(journey: Journey, tmp_path: Path) -> None:
    message = refuse("sweep", "run", changed(journey, tmp_path, "high: 5e-3", "high: 6e-3"))
    assert "search.optimizer.lr_generator.high is 0.005 there and 0.006 here" in message


def test_what_does_not_change_results_may_change(journey: Journey, tmp_path: Path) -> None:
    file = changed(
        journey, tmp_path, "max_concurrent: 2", "max_concurrent: 1\nmax_failures: 3\nresources: {cpus: 0.5}"
    )
    plan: dict[str, Any] = json.loads(journey.wav2pix("sweep", "run", file, "--dry-run", "--json"))
    assert plan["trials"] == "6, of which 6 are finished"
