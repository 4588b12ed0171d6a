"""The tests of this folder use real services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import Services
from tests.services.fixtures import services
from tests.services.running import Sweep

__all__ = ["services"]


@pytest.fixture
def make(services: Services, tmp_path: Path, tiny_data: Path) -> Iterator[Any]:
    """Makes sweeps on the services; in the end none of them runs."""
    made: list[Sweep] = []

    def new(name: str, epoch_s: float, **fields: Any) -> Sweep:
        made.append(Sweep.make(tmp_path, tiny_data, name, services.env, epoch_s, **fields))
        return made[-1]

    yield new
    for sweep in made:
        sweep.end()
