"""The names of measures: what an epoch reports is what a sweep may ask for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wav2pix.config import EvaluationConfig, make_config
from wav2pix.data import open_dataset
from wav2pix.errors import ConfigError
from wav2pix.evaluation import DESCRIPTIONS, measure_names
from wav2pix.train import fit

TINY = {
    "batch_size": 8,
    "epochs": 1,
    "encoder.channels": [8, 8, 16, 16],
    "generator.channels": [32, 16, 16, 8, 8],
    "discriminator.channels": [8, 16, 16, 16],
    "runtime.num_threads": 1,
    "runtime.device": "cpu",
}


def test_an_epoch_reports_every_measure_that_a_sweep_may_ask_for(tiny_data: Path) -> None:
    config = make_config(
        "small", TINY | {"evaluation.lengths": [0.3], "evaluation.costly": ["fid", "detection_rate"]}
    )
    (epoch,) = fit(config, open_dataset(tiny_data))
    names = measure_names(config.evaluation)
    assert {"fid_0.3s", "detection_rate", "recall_at_5", "identity_accuracy_0.3s"} <= set(names)
    # In a validation split with one recording a speaker nothing is alike over recordings.
    missing = set(names) - epoch.metrics.keys()
    assert missing <= {"consistency_other_recordings", "consistency_other_recordings_0.3s"}


def test_measures_that_take_longer_are_made_only_if_asked_for() -> None:
    assert not {"fid", "detection_rate"} & set(measure_names(EvaluationConfig()))


def test_every_epoch_has_what_says_how_far_identity_accuracy_can_go() -> None:
    names = measure_names(EvaluationConfig())
    assert {"identity_accuracy_ceiling", "identity_accuracy_chance", "identity_accuracy_shuffled"} <= set(names)


def test_a_length_that_the_data_lack_is_refused_before_training(tiny_data: Path) -> None:
    config = make_config("small", TINY | {"evaluation.lengths": [4]})
    with pytest.raises(ConfigError, match=r"evaluation.lengths: 4 s of speech: the windows of .* have 1 s"):
        next(fit(config, open_dataset(tiny_data)))


def test_a_length_that_the_paper_s_encoder_cannot_take_is_refused(tiny_data: Path) -> None:
    config = make_config("paper", {"image_size": 64, "batch_size": 8, "evaluation.lengths": [0.3]})
    with pytest.raises(ConfigError, match=r"0.3 s of speech: this model takes exactly 1 s"):
        next(fit(config, open_dataset(tiny_data)))


def test_what_a_measure_stands_beside_is_a_measure() -> None:
    for about in DESCRIPTIONS.values():
        assert not about.beside or DESCRIPTIONS[about.beside].group == about.group
        assert about.meaning.endswith(".")


def test_the_names_are_there_without_torch() -> None:
    code = "import sys, wav2pix.evaluation; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
