"""From a worker job's start to its trial's first training step, on the SLURM cluster of the tests, as root.

    python -m benchmarks.worker_start

The time is split into parts and compared with what cannot be avoided on the same host: a bare `ray start`, then
Python with torch and one training step, nothing else. Rounds of both alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.cluster.install import install, obstacle
from tests.cluster.running import Sweep, profile
from tests.cluster.testbed import Testbed
from tests.cluster.waiting import wait_for
from tests.orchestration.standin import StandInEpoch
from wav2pix.config import TrainConfig
from wav2pix.data.synth import SynthArguments, synthesise

ROOT = Path(__file__).parents[1]
HOST = "node3"
PARTS = ("Python", "Ray node", "placing the trial", "torch and data", "first step")
REPOSITORY = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
# The least that a node needs: Ray, and Python that trains a batch.
BARE = """\
set -e
date +%s.%N
{python} -m ray.scripts.scripts start --head --port=0 --num-cpus=1 --num-gpus=0 --include-dashboard=false \
  --object-store-memory=104857600 --temp-dir=/tmp/bare --disable-usage-stats >/dev/null
date +%s.%N
{python} -c 'from benchmarks.worker_start import first_step; first_step("{data}")'
"""


def first_step(data: str) -> None:
    """Train one batch as :func:`wav2pix.train.fit` begins; prints when it began and when it was done."""
    from wav2pix.batches import PairLoader
    from wav2pix.config import make_config
    from wav2pix.data import open_dataset
    from wav2pix.runtime import Runtime
    from wav2pix.train import new_state, train_step

    config = make_config("small", {"runtime.num_threads": 1})
    opened = open_dataset(Path(data))
    runtime = Runtime.of(config.runtime)
    loader = PairLoader(config, opened, runtime.device)
    state = new_state(config, opened.identities, runtime)
    batch = next(iter(loader.epoch(state.rng)))
    print(time.time())
    train_step(state, batch, runtime)
    print(time.time(), flush=True)


@dataclass
class FirstStep:
    """A trainer whose only epoch is one step; it notes the times in a file."""

    times: Path

    def fit(self, config: TrainConfig, data: Path, resume: Path | None) -> Iterator[StandInEpoch]:
        with self.times.open("w") as file, redirect_stdout(file):
            print(time.time())
            first_step(str(data))
        yield StandInEpoch(1, {"l1": 1.0})

    def export(self, checkpoint: Path, out: Path) -> None:
        out.mkdir(parents=True)


def through_sweep(testbed: Testbed, folder: Path, data: Path, number: int) -> list[float]:
    """Seconds of each part."""
    times, started = folder / f"times-{number}", folder / f"started-{number}"
    changes = {
        "setup": [f'test -n "$SLURM_JOB_GPUS$CUDA_VISIBLE_DEVICES" && date +%s.%N > {started}; true'],
        "workers": {"max": 1},
        "environment": REPOSITORY,
        "sbatch": {"nodelist": HOST},
    }
    fields = {"trials": 1, "epochs": 1, "max_concurrent": 1}
    site = profile(**changes)
    name = f"start{number}"
    sweep = Sweep.make(folder, data, name=name, trainer=FirstStep(times), profile=site, **fields)
    sweep.submit()
    sweep.wait_complete(300)
    wait_for(lambda: not [job for job in testbed.jobs() if job.active], 60, "an empty queue")
    (life,) = (json.loads(path.read_text()) for path in sweep.folder.workers.glob("*.json"))
    moments = [float(started.read_text()), life["started"], life["joined"]]
    moments += [float(line) for line in times.read_text().split()]
    return [later - earlier for earlier, later in pairwise(moments)]


def bare(testbed: Testbed, data: Path) -> list[float]:
    """Seconds of `ray start`, and of Python up to the end of its first step."""
    script = BARE.format(python=sys.executable, data=data)
    settings = [f"{name}={value}" for name, value in REPOSITORY.items()]
    output = testbed.run_on(HOST, ["env", "-C", str(ROOT), *settings, "bash", "-c", script], timeout_s=120)
    begun, ray, _, done = (float(line) for line in output.split())
    for process in testbed.processes(HOST):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    testbed.run_on(HOST, ["rm", "-rf", "/tmp/bare"])  # noqa: S108 - the host's own
    return [ray - begun, done - ray]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    if why := obstacle():
        sys.exit(why)
    install()
    with tempfile.TemporaryDirectory(prefix="w2pbench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        data = folder / "data"
        synthesise(data, SynthArguments(identities=3, recordings=6, seconds=4, seed=0, image_size=64))
        root = folder / "cluster"
        root.mkdir()
        with Testbed.start(root, shared=[folder]) as testbed, chdir(folder):
            os.environ.update(testbed.env)
            measured = [(through_sweep(testbed, folder, data, i), bare(testbed, data)) for i in range(rounds)]
    print_table(measured)


def print_table(measured: list[tuple[list[float], list[float]]]) -> None:
    """Medians of the parts, and the ratio of the sums of each round."""
    for part, seconds in zip(PARTS, zip(*(sweep for sweep, _ in measured), strict=True), strict=True):
        print(f"{part:22} {statistics.median(seconds):6.2f} s")
    for part, seconds in zip(
        ("bare: ray start", "bare: one step"), zip(*(b for _, b in measured), strict=True), strict=True
    ):
        print(f"{part:22} {statistics.median(seconds):6.2f} s")
    ratios = [sum(sweep) / sum(least) for sweep, least in measured]
    print("ratio of the whole: " + ", ".join(f"{ratio:.2f}" for ratio in ratios), end="")
    print(f"; median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
