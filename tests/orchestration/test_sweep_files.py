"""A mistake in a sweep file is found before anything starts, and its line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.errors import SpecError
from orchestration.load import load_spec

GOOD = """\
name: quick
data: data/quick
preset: small
settings:
  batch_size: 16
search:
  optimizer.lr_generator: {type: log_uniform, low: 1e-4, high: 2e-3}
  loss.adversarial: {type: categorical, choices: [hinge, least_squares]}
  loss.real_label:
    type: uniform
    low: 0.8
    high: 1.0
    when: {loss.adversarial: least_squares}
sampler: {type: tpe, startup_trials: 4}
scheduler: asha
objective: {metric: l1, direction: minimize}
trials: 8
epochs: 4
start_with: [default]
"""

MISTAKES = {
    ("lr_generator:", "lrr:"): "7: no setting 'optimizer.lrr'; did you mean 'optimizer.lr_generator'?",
    ("  batch_size", "  batchsize"): "5: no setting 'batchsize'; did you mean 'batch_size'?",
    ("sampler:", "smapler:"): "14: no field 'smapler'; did you mean 'sampler'?",
    ("startup_trials", "startup_trial"): "14: no field 'startup_trial'; did you mean 'startup_trials'?",
    ("trials: 8\n", ""): "1: the file lacks 'trials'",
    ("trials: 8", "trials: many"): "17: trials cannot be 'many'",
    ("trials: 8", "trials: 0"): "17: trials cannot be 0",
    ("low: 0.8", "low: 1.0"): "11: 'loss.real_label' goes from 1.0 to 1.0: low must be below high",
    ("low: 1e-4", "low: 1e-2"): "7: 'optimizer.lr_generator' goes from 0.01 to 0.002",
    ("low: 1e-4", "low: 0"): "7: search.optimizer.lr_generator.low cannot be 0",
    ("type: uniform", "type: uniformly"): "10: no search 'uniformly'; there are uniform, log_uniform",
    ("least_squares}", "mean}"): "13: 'loss.adversarial' never is 'mean'",
    (
        "{loss.adversarial: l",
        "{loss.kind: l",
    ): "13: 'loss.real_label' depends on 'loss.kind', which is not searched",
    ("batch_size: 16", "optimizer.lr_generator: 1e-3"): "7: 'optimizer.lr_generator' is searched and fixed",
    ("batch_size: 16", "epochs: 3"): "5: 'epochs' is a field of the sweep; write it at the top",
    ("batch_size: 16", "batch_size: 1"): "5: 'batch_size' cannot be 1",
    ("metric: l1", "metric: l2"): "16: no metric 'l2'; there are identity_accuracy, ",
    ("metric: l1", "metric: sharpnes"): "16: no metric 'sharpnes'; did you mean 'sharpness'?",
    ("metric: l1", "metric: fid"): "16: 'fid' is not measured by itself; add 'evaluation.costly: [fid]'",
    ("metric: l1", "metric: l1_0.3s"): "16: 'l1_0.3s' is not measured by itself; add 'evaluation.lengths: [0",
    ("high: 1.0", "high: 1.5"): "12: 'loss.real_label' cannot be 1.5",
    ("hinge, least", "hing, least"): "8: 'loss.adversarial' cannot be 'hing'",
    ("hinge, least_squares]", "hinge, hinge]"): "8: 'loss.adversarial' has the choice 'hinge' twice",
    ("scheduler: asha", "scheduler: {type: asha, min_epochs: 9}"): "15: 'min_epochs' is above the 4 epochs",
    ("scheduler: asha", "scheduler: ahsa"): "15: no scheduler 'ahsa'; there are asha, hyperband, median, none",
    (
        "high: 2e-3",
        "high: 3e-4",
    ): "19: the preset's value 0.0005 of 'optimizer.lr_generator' is not in its search",
    ("[default]", "[{batch_size: 8}]"): "19: 'batch_size' is not searched",
    ("[default]", "[dafault]"): "19: start_with.0 is 'dafault'; write 'default' or settings",
    ("sampler: {type: tpe, startup_trials: 4}", "sampler: grid"): "7: a grid needs finitely many values",
    (
        "preset: small",
        "preset: tiny",
    ): "3: preset cannot be 'tiny': input should be 'paper', 'modern' or 'small'",
    ("name: quick", "name: ../quick"): "1: name cannot be '../quick'",
    ("name: quick", "name: quick\nname: slow"): "2: 'name' stands here and in line 1",
    ("name: quick", "name: [quick"): "not valid YAML",
    ("name: quick", "name: !!python/name:os.system x"): "1: not valid YAML",
    ("epochs: 4", "epochs: 4\nresources: {gpu: 1}"): "19: no field 'gpu'; did you mean 'gpus'?",
    ("epochs: 4", "epochs: 4\nresources: {gpus: 1.5}"): "a fraction of one GPU or whole GPUs",
    ("epochs: 4", "epochs: 4\ntracking: {url: x}"): "19: no field 'url'; did you mean 'uri'?",
}


def load(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    load_spec(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("change", "message"), MISTAKES.items(), ids=lambda item: item if isinstance(item, str) else ""
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(SpecError) as raised:
        load(tmp_path, GOOD.replace(*change))
    assert f"{tmp_path / 'x.yaml'}:" in str(raised.value)
    assert message in str(raised.value)


def test_several_mistakes_are_all_reported(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as raised:
        load(tmp_path, GOOD.replace("trials: 8", "trial: 8").replace("type: uniform", "type: unifrom"))
    lines = str(raised.value).splitlines()
    assert [line.removeprefix(f"{tmp_path}/x.yaml:").split(":")[0] for line in lines] == ["1", "10", "17"]


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere\.yaml: no such file"):
        load_spec(tmp_path / "nowhere.yaml")


def test_an_empty_file_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="expected settings"):
        load(tmp_path, "# nothing\n")


def test_conditions_in_a_circle_are_found(tmp_path: Path) -> None:
    circle = GOOD.replace("least_squares]}", "least_squares], when: {loss.real_label: 0.9}}")
    with pytest.raises(SpecError, match="go round in a circle"):
        load(tmp_path, circle)


def test_a_setting_of_a_component_that_may_not_be_chosen_needs_a_condition(tmp_path: Path) -> None:
    text = GOOD.replace(
        "search:",
        "search:\n  encoder.type: {type: categorical, choices: [segan, pooled]}\n"
        "  encoder.norm: {type: uniform, low: 1, high: 9}",
    ).replace("start_with: [default]", "")
    with pytest.raises(SpecError, match=r"x.yaml:8: .*encoder.norm.*write 'when' beside it"):
        load(tmp_path, text)
    load(tmp_path, text.replace("high: 9}", "high: 9, when: {encoder.type: pooled}}"))


def test_stopping_early_with_two_objectives_is_refused(tmp_path: Path) -> None:
    two = "objectives:\n  - {metric: l1, direction: minimize}\n  - {metric: sharpness, direction: maximize}"
    text = GOOD.replace("objective: {metric: l1, direction: minimize}", two)
    with pytest.raises(SpecError, match=r"x\.yaml:15: stopping trials early needs one objective"):
        load(tmp_path, text)
    load(tmp_path, text.replace("scheduler: asha", "scheduler: none"))


def test_numbers_may_be_written_as_in_json(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(GOOD)
    parameter = load_spec(tmp_path / "x.yaml").search["optimizer.lr_generator"]
    assert parameter.type == "log_uniform"
    assert (parameter.low, parameter.high) == (1e-4, 2e-3)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_sweep_files_of_the_project_are_valid(path: Path) -> None:
    assert load_spec(path).name == path.stem
