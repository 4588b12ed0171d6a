"""Data that tests of several parts need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wav2pix.data.synth import SynthArguments, synthesise


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of three synthetic speakers: 72 pairs, 64 px. Not to be changed."""
    root = tmp_path_factory.mktemp("tiny") / "data"
    synthesise(root, SynthArguments(identities=3, recordings=6, seconds=4, seed=0, image_size=64))
    return root


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """The published sample of two speakers; it is no part of the repository."""
    beside = Path(__file__).parents[2] / "shared" / "data" / "youtubers"
    folder = Path(os.environ.get("WAV2PIX_SAMPLE", beside))
    if not folder.is_dir():
        pytest.skip(f"the published sample is not at {folder}; the variable WAV2PIX_SAMPLE says where it is")
    return folder
