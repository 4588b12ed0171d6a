"""What a preset learns in a given time, over several seeds: worst and median on both held-out splits.

    python benchmarks/learning.py --data data/youtubers --minutes 10 --threads 1

The time is CPU time of the training process, so other load on the machine does not shorten a run: with one
thread it is what a quiet core does in as many minutes. An epoch that was begun in time is finished. The last
epoch is measured on the validation and on the test split. The curve of every run is written as JSON lines, its
last picture as PNG, its last measures as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wav2pix.checkpoint import load_model
from wav2pix.cli import parse_settings
from wav2pix.config import TrainConfig, make_config
from wav2pix.data import Dataset, open_dataset
from wav2pix.evaluation.evaluate import evaluate
from wav2pix.evaluation.judge import get_judge
from wav2pix.pictures import save_picture
from wav2pix.train import fit

# The worse end of each measure, of which "worst" takes it.
MEASURES = {
    "identity_accuracy": min,
    "identity_accuracy_shuffled": max,
    "l1": max,
    "l1_mean_face": max,
    "sharpness": min,
    "diversity": min,
}
TAIL = 5
SPLITS: tuple[Literal["validation", "test"], ...] = ("validation", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--minutes", type=float, default=10, help="CPU minutes of a seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's own choice")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    arguments = parser.parse_args()
    data = open_dataset(arguments.data)
    judged = time.process_time()
    get_judge(data)
    print(f"judge of real faces: {time.process_time() - judged:.0f} CPU s, once a data set")
    settings = {"epochs": 100_000, "runtime.num_threads": arguments.threads}
    settings |= parse_settings(arguments.settings)
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in arguments.seeds:
        config = make_config(arguments.preset, settings | {"seed": seed})
        out = arguments.out / f"{data.root.name}-{arguments.preset}-{seed}"
        runs.append(train(data, config, arguments.minutes * 60, out))
        print(f"seed {seed}: {runs[-1].num_epochs} epochs")
    print_table(arguments.seeds, runs)


@dataclass(frozen=True)
class Run:
    """What came of one seed: measures by split, and how far identity accuracy jumped in the last epochs."""

    num_epochs: int
    measures: dict[str, dict[str, float]]
    jump: float


def train(data: Dataset, config: TrainConfig, budget_s: float, out: Path) -> Run:
    """Train for so many CPU seconds."""
    accuracies: list[float] = []
    started = time.process_time()
    with out.with_suffix(".jsonl").open("w", encoding="utf-8") as file:
        for epoch in fit(config, data):
            spent = time.process_time() - started
            accuracies.append(epoch.metrics["identity_accuracy"])
            file.write(json.dumps({"epoch": epoch.number, "cpu_s": spent} | epoch.metrics) + "\n")
            file.flush()
            if spent >= budget_s:
                break
    save_picture(out.with_suffix(".png"), epoch.pictures())
    with tempfile.TemporaryDirectory() as folder:
        epoch.save(Path(folder) / "checkpoint")
        model = load_model(Path(folder) / "checkpoint")
    judge = get_judge(data)
    measures = {split: evaluate(model, data, split, judge, num_bootstrap=0).metrics() for split in SPLITS}
    tail = accuracies[-TAIL:]
    run = Run(len(accuracies), measures, max(tail) - min(tail))
    out.with_suffix(".json").write_text(json.dumps(asdict(run), indent=1))
    return run


def print_table(seeds: list[int], runs: list[Run]) -> None:
    """The last epoch of each seed, worst and median over seeds, and how much the last epochs jump."""
    for split in SPLITS:
        print(f"\n{split:28}" + "".join(f"  seed {seed:<4}" for seed in seeds) + "  worst      median")
        for name, worst in MEASURES.items():
            print_row(name, [run.measures[split][name] for run in runs], worst)
        above = [run.measures[split]["l1"] - run.measures[split]["l1_mean_face"] for run in runs]
        print_row("l1 above mean face", above, max)
    print_row(f"\naccuracy, range of last {TAIL}", [run.jump for run in runs], max)


def print_row(name: str, values: list[float], worst: Callable[[list[float]], float]) -> None:
    """A measure of every seed, its worst and its median."""
    cells = [*values, worst(values), statistics.median(values)]
    print(f"{name:28}" + "".join(f"  {value:<9.3f}" for value in cells))


if __name__ == "__main__":
    main()
