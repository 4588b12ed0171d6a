"""Real PostgreSQL, S3 server and MLflow server. A conftest that imports the name ``services`` has them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import Services, obstacle


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """One set for all tests of this process. A test that kills one of them starts it again."""
    if why_not := obstacle():
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    # Not in pytest's own folder, which PostgreSQL's user cannot enter.
    with (
        tempfile.TemporaryDirectory(prefix="wav2pix-services-") as folder,
        Services.start(Path(folder)) as services,
    ):
        yield services
