"""CPU time of a batch read from the mapped arrays and of the same batch decoded from PNG and WAV files.

    python benchmarks/loader.py [--batch 64] [--rounds 7]

Makes 1,200 pairs of synthetic speakers in a temporary folder, writes each as a PNG and a WAV file too, and
reads random batches both ways in alternating rounds. Both give the same arrays, from files in the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

from wav2pix.data import Dataset
from wav2pix.data.synth import SynthArguments, synthesise

Batch = tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]
Rows = npt.NDArray[np.int64]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="pairs in a batch")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each kind")
    parser.add_argument("--image-size", type=int, default=64, choices=(64, 128))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = synthesise(Path(folder) / "data", SynthArguments(10, 6, 20, 0, options.image_size))
        files = Path(folder) / "files"
        write_files(data, files)
        mapped, decoded = measure(data, files, options.batch, options.rounds)
    print(
        f"1 s of speech and a face of {options.image_size} px, batch {options.batch}, "
        f"median of {options.rounds} rounds"
    )
    print(f"mapped arrays  {mapped * 1e3:8.4f} CPU-ms a pair")
    print(f"PNG and WAV    {decoded * 1e3:8.4f} CPU-ms a pair")
    print(f"ratio          {decoded / mapped:8.1f}")


def write_files(data: Dataset, folder: Path) -> None:
    """A PNG and a WAV file for each pair."""
    folder.mkdir()
    for row in range(len(data)):
        Image.fromarray(data.faces[data.face[row]]).save(folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", data.speech[row], data.sample_rate_hz)


def read_mapped(data: Dataset, rows: Rows) -> Batch:
    """A batch from the prepared data set."""
    return np.asarray(data.speech[rows]), np.asarray(data.faces[data.face[rows]])


def read_files(folder: Path, rows: Rows) -> Batch:
    """The same batch from small files."""
    speech = np.stack([soundfile.read(folder / f"{row}.wav", dtype="int16")[0] for row in rows])
    faces = np.stack([np.asarray(Image.open(folder / f"{row}.png")) for row in rows])
    return speech, faces


def measure(data: Dataset, folder: Path, batch: int, rounds: int) -> tuple[float, float]:
    """Median CPU seconds a pair: mapped and decoded."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(data), batch)
    for one, other in zip(read_mapped(data, rows), read_files(folder, rows), strict=True):
        assert (one == other).all()
    batches = [rng.integers(0, len(data), batch) for _ in range(8)]
    mapped, decoded = [], []
    for _ in range(rounds):
        mapped.append(_cpu_s(lambda rows: read_mapped(data, rows), batches * 10) / 10)
        decoded.append(_cpu_s(lambda rows: read_files(folder, rows), batches))
    num_pairs = batch * len(batches)
    return statistics.median(mapped) / num_pairs, statistics.median(decoded) / num_pairs


def _cpu_s(read: Callable[[Rows], Batch], batches: list[Rows]) -> float:
    start = time.process_time()
    for rows in batches:
        read(rows)
    return time.process_time() - start


if __name__ == "__main__":
    main()
