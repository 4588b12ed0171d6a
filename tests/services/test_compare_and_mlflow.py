"""What `compare` and `best` print is what MLflow has, to the last digit."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import Services
from tests.services.running import Sweep

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sweep(services: Services, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """Three trials whose first epoch is their best and not their last."""
    sweep = Sweep.make(
        tmp_path_factory.mktemp("compared"),
        tiny_data,
        f"compared-{secrets.token_hex(4)}",
        services.env,
        epoch_s=0.1,
        objective={"metric": "l1", "direction": "maximize"},
        epochs=3,
    )
    try:
        sweep.start()
        assert "left 0" in sweep.finish()
        yield sweep
    finally:
        sweep.end()


def compared(sweep: Sweep) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        sweep.run("sweep", "compare", sweep.folder.name, "--storage", str(sweep.folder.root.parent), "--json")
    )
    return rows


def test_a_value_in_the_comparison_is_the_runs_metric_at_that_epoch(sweep: Sweep) -> None:
    runs, rows = sweep.runs(), compared(sweep)
    assert sorted(row["trial"] for row in rows) == [0, 1, 2]
    for row in rows:
        run = runs[f"{row['trial']:04d}"]
        assert row["epoch"] == 1
        for name, value in (row["values"] | row["metrics"]).items():
            by_epoch = {
                point.step: point.value for point in sweep.client.get_metric_history(run.info.run_id, name)
            }
            assert by_epoch[row["epoch"]] == value
            assert by_epoch[3] != value
        for name, value in row["params"].items():
            assert run.data.params[name] == str(value)


def test_sorting_by_the_best_objective_in_mlflow_gives_the_order_of_the_comparison(sweep: Sweep) -> None:
    rows, client = compared(sweep), sweep.client
    experiment = client.get_experiment_by_name(sweep.folder.name)
    assert experiment is not None
    found = client.search_runs(
        [experiment.experiment_id],
        "tags.`mlflow.parentRunId` != ''",
        order_by=["metrics.best_objective DESC"],
    )
    assert [(int(run.data.tags["wav2pix.trial"]), run.data.metrics["best_objective"]) for run in found] == [
        (row["trial"], row["values"]["l1"]) for row in rows
    ]
