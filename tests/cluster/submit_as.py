"""Submit a sweep of stand-in trials, as whoever runs ``python -m tests.cluster.submit_as FOLDER DATA NAME``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.cluster.running import Sweep, profile
from tests.orchestration.standin import StandInTrainer


def main(folder: Path, data: Path, name: str) -> None:
    """Three trials on at most two workers."""
    os.chdir(folder)
    trainer = StandInTrainer(seconds=2.0)
    fields = {"trials": 3, "epochs": 8, "max_concurrent": 2}
    Sweep.make(folder, data, name=name, trainer=trainer, profile=profile(workers={"max": 2}), **fields).submit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
