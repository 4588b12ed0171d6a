"""A failed trial never takes the sweep down, and says why it failed. Real Ray, a stand-in for the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from standin import StandInTrainer
from watching import Nobody

from orchestration.driver import Plan, Result, run_sweep
from orchestration.errors import SweepError
from orchestration.folders import SweepFolder
from orchestration.lock import hold
from orchestration.spec import SweepSpec

pytestmark = pytest.mark.slow


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    # Ray's workers unpickle the stand-in by the name of its module.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "data").mkdir()
    spec = SweepSpec.model_validate(
        {
            "name": "failures",
            "data": tmp_path / "data",
            "preset": "small",
            "search": {"batch_size": {"type": "categorical", "choices": [8, 13, 14, 15, 16]}},
            "sampler": "grid",
            "objective": {"metric": "l1", "direction": "minimize"},
            "trials": 5,
            "epochs": 3,
            "max_concurrent": 2,
            "max_failures": 1,
            "storage": tmp_path / "runs",
        }
    )
    return Plan(spec, "hash", 1, 1, 5, 0)


def test_failed_trials_are_failed_with_their_reason_and_the_others_finish(plan: Plan) -> None:
    result: Result = run_sweep(plan, Nobody(), StandInTrainer())
    assert result.num_left == 0
    assert result.problems == ()
    good, diverged, raised, died_once, died = result.records
    assert good.state == "complete"
    assert diverged.state == "failed"
    assert diverged.reason == "training diverged in epoch 2: loss_l1: not a finite number"
    assert (raised.state, raised.reason) == ("failed", "ValueError: the disk is full")
    assert (died_once.state, died_once.progress.epochs) == ("complete", 3), "one failure is allowed"
    assert (died.state, died.reason) == ("failed", "its process was killed, or ran out of memory")

    client = MlflowClient(f"sqlite:///{plan.spec.storage.absolute() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("failures")
    assert experiment is not None
    runs = {run.data.tags["wav2pix.trial"]: run for run in client.search_runs([experiment.experiment_id])}
    assert [runs[f"{number:04d}"].info.status for number in range(5)] == [
        "FINISHED",
        "FAILED",
        "FAILED",
        "FINISHED",
        "FAILED",
    ]
    for record in (diverged, raised, died):
        assert runs[f"{record.number:04d}"].data.tags["wav2pix.reason"] == record.reason
    assert "error.txt" in [file.path for file in client.list_artifacts(runs["0002"].info.run_id)]
    for number, epochs in enumerate([3, 1, 1, 3, 1]):
        history = client.get_metric_history(runs[f"{number:04d}"].info.run_id, "l1")
        assert [point.step for point in history] == list(range(1, epochs + 1)), (
            "each epoch once, after retries too"
        )
    kept = sorted(path.name for path in SweepFolder(plan.folder.root).root.glob("trials/0000/checkpoints/*"))
    assert kept == ["epoch-0002", "epoch-0003"], "the newest two and the best; others are removed"


def test_a_process_that_dies_between_two_trials_ends_neither_of_them(plan: Plan) -> None:
    search = {"batch_size": {"type": "categorical", "choices": [17, 8, 9]}}
    changes = {"search": search, "trials": 3, "max_concurrent": 1, "name": "between"}
    spec = SweepSpec.model_validate(plan.spec.model_dump() | changes)
    result = run_sweep(Plan(spec, "hash", 1, 1, 3, 0), Nobody(), StandInTrainer())
    assert [record.state for record in result.records] == ["complete"] * 3
    assert [len(record.failures) for record in result.records] == [0, 1, 0]


def test_two_drivers_of_one_sweep_are_refused(plan: Plan) -> None:
    with (
        hold(plan.folder.lock, "the sweep"),
        pytest.raises(SweepError, match="sweep 'failures' is in use by process"),
    ):
        run_sweep(plan, Nobody(), StandInTrainer())


def test_a_trial_that_asks_for_more_than_the_machine_has_is_refused(plan: Plan) -> None:
    greedy = plan.spec.model_copy(update={"resources": plan.spec.resources.model_copy(update={"cpus": 4000})})
    with pytest.raises(SweepError, match="a trial asks for 4000 CPUs and this machine has"):
        run_sweep(Plan(greedy, "hash", 1, 1, 5, 0), Nobody(), StandInTrainer())
