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
