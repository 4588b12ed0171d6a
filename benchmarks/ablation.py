"""What each repair is worth: the sweep sweeps/ablation.yaml, measured on recordings that no trial has heard.

    wav2pix sweep run sweeps/ablation.yaml
    python -m benchmarks.ablation [--sweep ablation] [--split test]

Takes the last epoch of every trial, so that nothing is chosen by what is measured, and prints two tables in
Markdown. The first has the mean of the seeds of a variant, with its lowest and highest seed. The second has the
difference of these means from the variant with all repairs, with a 95 % interval over recordings (bootstrap of
whole recordings, the same ones for both variants): a difference whose interval excludes 0 is not luck of the
recordings, and where the seeds of the two variants do not overlap either, not luck of the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestration.checks import trial_config
from orchestration.driver import Result, read_sweep
from orchestration.errors import SweepError
from orchestration.folders import Storage, checkpoint_key
from orchestration.identity import SweepRecord
from orchestration.storage import open_store
from wav2pix.checkpoint import load_model
from wav2pix.config import ConcatenationDiscriminatorConfig, TrainConfig
from wav2pix.data import Dataset, open_dataset
from wav2pix.evaluation import Measure
from wav2pix.evaluation.evaluate import evaluate
from wav2pix.evaluation.intervals import Recordings
from wav2pix.evaluation.judge import get_judge
from wav2pix.evaluation.result import Evaluation

WHOLE = "all four repairs"
# Those with a score for each pair, and the others, which are of all pairs together.
BY_PAIR = ("identity_accuracy", "l1", "perceptual")
OF_ALL = ("kid", "sharpness", "diversity")
NUM_BOOTSTRAP = 4000


@dataclass(frozen=True)
class Variant:
    """The evaluations of one variant, one a seed, all of the same pairs."""

    name: str
    seeds: tuple[Evaluation, ...]

    def values(self, measure: str) -> list[float]:
        """The measure of each seed."""
        return [seed.measures[measure].value for seed in self.seeds]

    def scores(self, measure: str) -> npt.NDArray[np.float64]:
        """(N,) the mean over seeds for each pair."""
        return np.mean([seed.cases.scores[measure] for seed in self.seeds], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--sweep", default="ablation")
    parser.add_argument("--storage", type=Path, default=Path("runs"))
    parser.add_argument("--split", choices=("validation", "test", "all"), default="test")
    arguments = parser.parse_args()
    result = read_sweep(Storage(arguments.storage).sweep(arguments.sweep))
    variants = measure(result, open_dataset(result.spec.data), arguments.split)
    first = variants[0].seeds[0]
    print(f"{first.num_pairs} pairs of {first.num_recordings} recordings ({arguments.split}),")
    print(
        f"{len(variants[0].seeds)} seeds a variant, {result.spec.epochs} epochs; features: {first.features}\n"
    )
    print_values(variants)
    print_differences(variants)


def measure(result: Result, data: Dataset, split: str) -> list[Variant]:
    """Evaluate the last epoch of every finished trial; the whole variant comes first."""
    judge = get_judge(data)
    found: dict[str, list[Evaluation]] = defaultdict(list)
    store = open_store(result.folder, result.spec.artifacts, SweepRecord.load(result.folder).sweep_id)
    for record in result.records:
        if record.state != "complete":
            raise SweepError(f"trial {record.number} is {record.state}: finish the sweep first")
        with tempfile.TemporaryDirectory() as name:
            kept = Path(name) / "kept"
            store.get(checkpoint_key(record.number, result.spec.epochs), kept)
            model = load_model(kept / "checkpoint")
        name = name_of(trial_config(result.spec, record.params))
        found[name].append(evaluate(model, data, split, judge, num_bootstrap=0, fid=False))
    return [Variant(name, tuple(found[name])) for name in sorted(found, key=lambda name: name != WHOLE)]


def name_of(config: TrainConfig) -> str:
    """Which repairs a trial lacks."""
    lacks = [
        name
        for name, is_lacking in {
            "projection": isinstance(config.discriminator, ConcatenationDiscriminatorConfig),
            "augmentation": config.augment is None,
            "moving average": config.ema is None,
            "whole samples": config.speech_quantisation == "one_bit",
        }.items()
        if is_lacking
    ]
    return WHOLE if not lacks else "none of the four" if len(lacks) == 4 else f"without {', '.join(lacks)}"


def print_values(variants: list[Variant]) -> None:
    """The mean of the seeds, and their range."""
    names = (*BY_PAIR, *OF_ALL)
    print("| |" + "".join(f" {name} |" for name in names))
    print("|---" * (len(names) + 1) + "|")
    for variant in variants:
        cells = [
            f" {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}) |"
            for values in map(variant.values, names)
        ]
        print(f"| {variant.name} |" + "".join(cells))


def print_differences(variants: list[Variant]) -> None:
    """Each variant minus the whole one, pair by pair."""
    whole, *others = variants
    cases = whole.seeds[0].cases
    recordings = Recordings(cases.recording, NUM_BOOTSTRAP, seed=0)
    print("\n| minus all four |" + "".join(f" {name} |" for name in BY_PAIR))
    print("|---" * (len(BY_PAIR) + 1) + "|")
    for variant in others:
        cells = []
        for name in BY_PAIR:
            difference = variant.scores(name) - whole.scores(name)
            if name == "identity_accuracy":
                cells.append(cell(recordings.balanced(difference, cases.identity)))
            else:
                cells.append(cell(recordings.mean(difference)))
        print(f"| {variant.name} |" + "".join(cells))


def cell(measure: Measure | None) -> str:
    """A difference with its interval, starred where that excludes 0."""
    assert measure is not None
    assert measure.low is not None and measure.high is not None
    star = " *" if measure.low > 0 or measure.high < 0 else ""
    return f" {measure.value:+.3f} ({measure.low:+.3f} to {measure.high:+.3f}){star} |"


if __name__ == "__main__":
    main()
