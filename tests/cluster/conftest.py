"""The cluster that the tests of this folder share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.install import install, obstacle
from tests.cluster.testbed import Testbed


@pytest.fixture(scope="session")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A real SLURM cluster of three hosts. Its hosts see the folders of ``tmp_path`` too."""
    if why_not := obstacle():
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    install()
    shared = [tmp_path_factory.getbasetemp()]
    with (
        tempfile.TemporaryDirectory(prefix="wav2pix-cluster-") as folder,
        Testbed.start(Path(folder), shared=shared) as testbed,
    ):
        yield testbed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs all tests of this folder, one after the other, beside those of other folders."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("cluster"))
