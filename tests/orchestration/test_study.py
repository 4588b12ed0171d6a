"""The study hands out trials, learns from them, and forgets nothing when its driver dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestration.records import Progress
from orchestration.spec import SweepSpec
from orchestration.study import Study

SPEC: dict[str, Any] = {
    "name": "s",
    "data": "data",
    "preset": "small",
    "search": {
        "optimizer.lr_generator": {"type": "log_uniform", "low": 1e-4, "high": 1e-2},
        "loss.adversarial": {"type": "categorical", "choices": ["hinge", "least_squares"]},
        "loss.real_label": {
            "type": "uniform",
            "low": 0.8,
            "high": 1.0,
            "when": {"loss.adversarial": "least_squares"},
        },
    },
    "objective": {"metric": "l1", "direction": "minimize"},
    "trials": 12,
    "epochs": 4,
}


def spec(**changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(SPEC | changes)


def open_study(tmp_path: Path, spec: SweepSpec) -> Study:
    study = Study(spec, f"sqlite:///{tmp_path / 'study.db'}")
    study.start()
    return study


def finish(study: Study, number: int, value: float) -> None:
    study.report(number, {4: value}, Progress(4, 4, (value,), {"l1": value}, {"": 1.0}))
    study.complete(number)


def run_all(study: Study, value: Any = lambda params: params["optimizer.lr_generator"]) -> list[dict[str, Any]]:
    params = []
    while study.num_left:
        assignment = study.ask()
        params.append(assignment.params)
        finish(study, assignment.number, value(assignment.params))
    return params


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "gp", "qmc", "nsga2"])
def test_every_sampler_respects_ranges_and_conditions(tmp_path: Path, sampler: str) -> None:
    points = run_all(open_study(tmp_path, spec(sampler=sampler, trials=14)))
    assert len(points) == 14
    assert {point["loss.adversarial"] for point in points} == {"hinge", "least_squares"}
    for point in points:
        assert 1e-4 <= point["optimizer.lr_generator"] <= 1e-2
        assert ("loss.real_label" in point) == (point["loss.adversarial"] == "least_squares")
    assert len({point["optimizer.lr_generator"] for point in points}) > 10


def test_tpe_learns_where_the_good_values_are(tmp_path: Path) -> None:
    sampler = {"type": "tpe", "startup_trials": 8}
    points = run_all(open_study(tmp_path, spec(sampler=sampler, trials=30)))
    later = sorted(point["optimizer.lr_generator"] for point in points[-10:])
    assert later[5] < 3e-4, "the lower end is best here"


def test_a_restarted_driver_draws_what_it_would_have_drawn_without_the_stop(tmp_path: Path) -> None:
    whole = run_all(open_study(tmp_path / "..", spec(trials=6, name="whole")))
    parts = []
    for trials in (2, 4, 6):
        parts += run_all(open_study(tmp_path, spec(trials=trials)))
    assert parts == whole


def test_an_unfinished_trial_is_handed_out_again_with_its_number_and_parameters(tmp_path: Path) -> None:
    first = open_study(tmp_path, spec())
    done, lost = first.ask(), first.ask()
    finish(first, done.number, 0.5)
    second = open_study(tmp_path, spec())
    assert second.num_finished == 1
    assert second.num_left == 11
    assert second.ask() == lost
    assert second.ask().number == 2


def test_start_with_comes_first_and_once(tmp_path: Path) -> None:
    start = [{"optimizer.lr_generator": 0.005, "loss.adversarial": "hinge"}, "default"]
    changes = spec(start_with=start, trials=4)
    points = run_all(open_study(tmp_path, changes)) + run_all(open_study(tmp_path, changes))
    assert len(points) == 4
    assert points[0] == {"optimizer.lr_generator": 0.005, "loss.adversarial": "hinge"}
    assert points[1]["optimizer.lr_generator"] == 5e-4, "the default of the preset small"


def test_a_grid_runs_every_combination_once_and_no_more(tmp_path: Path) -> None:
    search = {
        "batch_size": {"type": "integer", "low": 8, "high": 16, "step": 8},
        "loss.adversarial": {"type": "categorical", "choices": ["hinge", "least_squares"]},
        "loss.real_label": {
            "type": "uniform",
            "low": 0.8,
            "high": 1.0,
            "step": 0.1,
            "when": {"loss.adversarial": "least_squares"},
        },
    }
    points = run_all(
        open_study(tmp_path, spec(search=search, sampler="grid", trials=100)),
        lambda params: params["batch_size"],
    )
    assert len(points) == 2 * (1 + 3)
    assert len({str(sorted(point.items())) for point in points}) == 8


def test_choices_may_be_lists(tmp_path: Path) -> None:
    choices = [[32, 64, 96, 128], [16, 32, 64, 64]]
    search = {"discriminator.channels": {"type": "categorical", "choices": choices}}
    study = open_study(tmp_path, spec(search=search, trials=6))
    points = run_all(study, lambda params: float(params["discriminator.channels"][0]))
    assert all(point["discriminator.channels"] in choices for point in points)
    assert study.records()[0].params["discriminator.channels"] in choices


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", {"type": "median", "startup_trials": 2}])
def test_schedulers_stop_bad_trials_and_the_study_says_so(tmp_path: Path, scheduler: Any) -> None:
    study = open_study(tmp_path, spec(scheduler=scheduler, sampler="random", trials=12))
    while study.num_left:
        number = study.ask().number
        for epoch in range(1, 5):
            value = 1 / epoch + (number % 6)
            if study.report(number, {epoch: value}, Progress(epoch, epoch, (value,), {}, {"": 1.0})):
                break
        else:
            study.complete(number)
    records = study.records()
    assert records[0].state == "complete"
    pruned = [record for record in records if record.state == "pruned"]
    assert pruned
    assert all(record.progress.epochs < 4 for record in pruned)


def test_no_scheduler_lets_every_trial_end(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(trials=3))
    for _ in range(3):
        number = study.ask().number
        assert not any(study.report(number, {epoch: 9.0}, Progress(epoch, 1, (9.0,))) for epoch in range(1, 5))


def test_pruning_decisions_outlive_the_driver(tmp_path: Path) -> None:
    changes = spec(scheduler="asha", trials=4)
    first = open_study(tmp_path, changes)
    good, bad = first.ask().number, first.ask().number
    assert not first.report(good, {1: 0.1}, Progress(1, 1, (0.1,)))
    second = open_study(tmp_path, changes)
    assert second.report(bad, {1: 0.9}, Progress(1, 1, (0.9,)))
    assert second.record(bad).state == "pruned"


def test_epochs_that_a_dead_driver_did_not_hear_of_are_caught_up(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec(scheduler="asha"))
    number = study.ask().number
    study.report(number, {1: 0.5}, Progress(1, 1, (0.5,)))
    study.report(number, {1: 0.5, 2: 0.4, 3: 0.3}, Progress(3, 3, (0.3,)))
    assert study.record(number).progress.epochs == 3


def test_a_trial_without_a_finite_objective_has_failed(tmp_path: Path) -> None:
    study = open_study(tmp_path, spec())
    number = study.ask().number
    study.report(number, {4: float("nan")}, Progress(epochs=4))
    study.complete(number)
    assert study.record(number).state == "failed"
    assert "finite" in study.record(number).reason


def test_several_objectives_are_told_as_one_vector(tmp_path: Path) -> None:
    goals = [{"metric": "l1", "direction": "minimize"}, {"metric": "sharpness", "direction": "maximize"}]
    study = open_study(tmp_path, spec(objective=None, objectives=goals, sampler="nsga2", trials=3))
    for value in (0.1, 0.2, 0.3):
        number = study.ask().number
        study.report(number, {4: value}, Progress(4, 4, (value, value)))
        study.complete(number)
    assert [record.progress.values for record in study.records()] == [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)]
