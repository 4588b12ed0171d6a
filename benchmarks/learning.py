"""What a preset learns in a given time, over several seeds: worst and median of the last epochs.

    python benchmarks/learning.py --data data/youtubers --minutes 10

Each seed trains for so many minutes of wall time; an epoch that was begun in time is finished. The measures are
those of the validation split at the end of every epoch. The curve of every run is written as JSON lines, its
last picture as PNG.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from wav2pix.config import make_config
from wav2pix.data import Dataset, open_dataset
from wav2pix.judge import get_judge
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: torch's own choice")
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    arguments = parser.parse_args()
    data = open_dataset(arguments.data)
    judged = time.perf_counter()
    get_judge(data)
    print(f"judge of real faces: {time.perf_counter() - judged:.0f} s, once a data set")
    runs = [
        train(data, arguments.preset, seed, arguments.minutes, arguments.threads, arguments.out)
        for seed in arguments.seeds
    ]
    print_table(arguments.seeds, runs)


def train(
    data: Dataset, preset: str, seed: int, minutes: float, threads: int, out: Path
) -> list[dict[str, float]]:
    """The metrics of every epoch of one run."""
    config = make_config(preset, {"seed": seed, "epochs": 100_000, "runtime.num_threads": threads})
    curve: list[dict[str, float]] = []
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with (out / f"{data.root.name}-{preset}-{seed}.jsonl").open("w", encoding="utf-8") as file:
        for epoch in fit(config, data):
            spent = time.perf_counter() - started
            curve.append(epoch.metrics)
            file.write(json.dumps({"epoch": epoch.number, "spent_s": spent} | epoch.metrics) + "\n")
            file.flush()
            if spent >= minutes * 60:
                save_picture(out / f"{data.root.name}-{preset}-{seed}.png", epoch.pictures())
                break
    print(f"seed {seed}: {len(curve)} epochs in {spent:.0f} s")
    return curve


def print_table(seeds: list[int], runs: list[list[dict[str, float]]]) -> None:
    """The last epoch of each seed, worst and median over seeds, and how much the last epochs jump."""
    print(f"{'':28}" + "".join(f"  seed {seed:<4}" for seed in seeds) + "  worst      median")
    for name, worst in MEASURES.items():
        last = [curve[-1][name] for curve in runs]
        cells = [*last, worst(last), statistics.median(last)]
        print(f"{name:28}" + "".join(f"  {value:<9.3f}" for value in cells))
    jumps = []
    for curve in runs:
        tail = [epoch["identity_accuracy"] for epoch in curve[-TAIL:]]
        jumps.append(max(tail) - min(tail))
    cells = [*jumps, max(jumps), statistics.median(jumps)]
    print(f"{f'accuracy, range of last {TAIL}':28}" + "".join(f"  {value:<9.3f}" for value in cells))


if __name__ == "__main__":
    main()
