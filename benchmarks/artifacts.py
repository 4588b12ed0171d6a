"""Upload and download of a checkpoint by the artifact store against `aws s3 cp` on the same S3 server.

    python -m benchmarks.artifacts

Rounds of both alternate. Ours hashes every file before it sends it and after it fetched it. `aws` is timed
within its process, after it has copied a byte: what is compared is the copying, not the start of a command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deploy.local import Services
from orchestration.storage import Artifacts
from orchestration.storage.s3 import S3Store

MB = 1_000_000
# A checkpoint: the networks, their optimisers, and a few facts.
SHARES = {"model.safetensors": 0.3, "optimizers.safetensors": 0.7}
URI = "s3://wav2pix/benchmark"
# Copies a byte, then what it is told, and says how long that took.
TIMED = """
import sys, time
from awscli.clidriver import create_clidriver
byte, to, *words = sys.argv[1:]
copy = ["s3", "cp", "--only-show-errors"]
assert create_clidriver().main([*copy, byte, to]) == 0
started = time.monotonic()
assert create_clidriver().main([*copy, "--recursive", *words]) == 0
print(time.monotonic() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--aws", type=Path, help="the command; without it awscli gets an environment of its own"
    )
    arguments = parser.parse_args()
    aws = arguments.aws or install_aws()
    with (
        tempfile.TemporaryDirectory(prefix="wav2pix-services-") as services_folder,
        tempfile.TemporaryDirectory(prefix="wav2pix-benchmark-") as name,
        Services.start(Path(services_folder)) as services,
    ):
        os.environ.update(services.env)
        source = make_checkpoint(Path(name) / "checkpoint", arguments.megabytes * MB)
        rounds = [one_round(aws, source, Path(name), number) for number in range(arguments.rounds + 1)]
    # The first one warms up.
    print_table(rounds[1:], arguments.megabytes)


def install_aws() -> Path:
    """A Python with awscli, whose botocore must not meet ours."""
    folder = Path("~/.cache/wav2pix/awscli").expanduser()
    if not (folder / "bin" / "aws").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
        pip = [str(folder / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet", "awscli"]
        subprocess.run(pip, check=True, timeout=600)
    return folder / "bin" / "python"


def make_checkpoint(folder: Path, num_bytes: int) -> Path:
    folder.mkdir()
    for name, share in SHARES.items():
        (folder / name).write_bytes(os.urandom(int(share * num_bytes)))
    (folder / "trial.json").write_text("{}")
    return folder


def one_round(aws: Path, source: Path, folder: Path, number: int) -> dict[str, float]:
    """Seconds of both ways by either."""
    store = S3Store(Artifacts(uri=URI), f"ours-{number}")
    theirs, byte, back = f"{URI}/theirs-{number}", folder / "byte", folder / "back"
    byte.write_bytes(b"x")

    def copy(*words: str) -> Callable[[], float]:
        command = [str(aws), "-c", TIMED, str(byte), f"{theirs}/byte", *words]
        return lambda: float(subprocess.run(command, check=True, timeout=600, stdout=subprocess.PIPE).stdout)

    steps: list[tuple[str, Callable[[], float]]] = [
        ("ours up", lambda: timed(lambda: store.put("trials/0001/x", source))),
        ("aws up", copy(str(source), f"{theirs}/x/")),
        ("ours down", lambda: timed(lambda: store.get("trials/0001/x", back))),
        ("aws down", copy(f"{theirs}/x/", str(back))),
    ]
    taken = {}
    # Whoever comes second may find the server busier: they take turns.
    for index in (0, 1, 2, 3) if number % 2 else (1, 0, 3, 2):
        step, do = steps[index]
        taken[step] = do()
        shutil.rmtree(back, ignore_errors=True)
    return taken


def timed(do: Callable[[], object]) -> float:
    """Seconds that it takes."""
    started = time.monotonic()
    do()
    return time.monotonic() - started


def print_table(rounds: list[dict[str, float]], megabytes: int) -> None:
    """Median rates, and the ratio of the two in each round."""
    print(f"{megabytes} MB in {len(SHARES)} files, MB/s")
    for way in ("up", "down"):
        ours = [megabytes / each[f"ours {way}"] for each in rounds]
        theirs = [megabytes / each[f"aws {way}"] for each in rounds]
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        medians = f"{way:5} ours {statistics.median(ours):6.1f}, aws s3 cp {statistics.median(theirs):6.1f}"
        print(f"{medians}; ratio {', '.join(f'{ratio:.2f}' for ratio in ratios)}", end="")
        print(f"; median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
