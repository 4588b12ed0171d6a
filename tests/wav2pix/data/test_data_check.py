"""``check`` finds what two splits share; ``info`` says what a data set holds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from wav2pix.data import Dataset, open_dataset, write_dataset
from wav2pix.data.check import find_leaks
from wav2pix.data.cli import app
from wav2pix.data.format import pairs_of
from wav2pix.data.importer import import_folder
from wav2pix.errors import DataError

runner = CliRunner()


def _rewrite(data: Dataset, root: Path, *, split: np.ndarray | None = None, **arrays: Any) -> Dataset:
    pairs = pairs_of(data)
    return write_dataset(
        root,
        speech=arrays.get("speech", np.asarray(data.speech)),
        faces=arrays.get("faces", np.asarray(data.faces)),
        pairs=pairs if split is None else replace(pairs, split=split),
        sample_rate_hz=data.sample_rate_hz,
        source=data.source,
    )


@pytest.fixture
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


def _one_of_each(data: Dataset) -> tuple[int, int]:
    return int(data.indices("train")[0]), int(data.indices("test")[-1])


def test_splits_that_are_apart_pass(tiny_data: Path) -> None:
    result = runner.invoke(app, ["check", str(tiny_data)])
    assert result.exit_code == 0, result.output
    assert "the splits share no recording, no samples and no face (72 pairs)" in result.output


def test_a_recording_in_two_splits_fails(data: Dataset, tmp_path: Path) -> None:
    split = data.split.copy()
    split[1] = "test" if split[0] == "train" else "train"
    _rewrite(data, tmp_path / "bad", split=split)
    result = runner.invoke(app, ["check", str(tmp_path / "bad")])
    assert result.exit_code == 1
    assert "both in recording speaker00-00" in result.output
    assert "1 leaks between splits: 1 recording" in result.output


def test_shared_samples_fail_with_the_pairs(data: Dataset, tmp_path: Path) -> None:
    one, other = _one_of_each(data)
    speech = np.array(data.speech)
    speech[other, 9000:9500] = speech[one, 3000:3500]
    (leak,) = find_leaks(_rewrite(data, tmp_path / "bad", speech=speech))
    assert (leak.first, leak.second, leak.kind) == (one, other, "samples")
    assert leak.detail == "500 samples in a row are the same"


def test_a_copied_face_that_is_a_little_changed_fails(data: Dataset, tmp_path: Path) -> None:
    one, other = _one_of_each(data)
    faces = np.array(data.faces)
    faces[other] = np.clip(faces[one] * 0.9 + 12, 0, 255)
    (leak,) = find_leaks(_rewrite(data, tmp_path / "bad", faces=faces))
    assert (leak.first, leak.second, leak.kind) == (one, other, "near face")
    assert f"train pair {one} (speaker00-" in leak.describe(data)


def test_one_face_used_in_two_splits_fails(data: Dataset, tmp_path: Path) -> None:
    one, other = _one_of_each(data)
    shutil.copytree(data.root, tmp_path / "bad")
    table = (tmp_path / "bad" / "pairs.csv").read_text().splitlines()
    table[1 + other] = table[1 + other].replace(f"{other},", f"{one},", 1)
    (tmp_path / "bad" / "pairs.csv").write_text("\n".join(table) + "\n")
    result = runner.invoke(app, ["check", str(tmp_path / "bad")])
    assert result.exit_code == 1
    assert f"the same face {one}" in result.output
    assert "the content is not what was written" in result.output


def test_a_random_split_of_the_published_sample_fails(sample_folder: Path, tmp_path: Path) -> None:
    good = import_folder(sample_folder, tmp_path / "good").data
    split = np.random.default_rng(0).permutation(good.split)
    _rewrite(good, tmp_path / "bad", split=split)
    result = runner.invoke(app, ["check", str(tmp_path / "bad")])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[20].startswith("... and ")
    assert "leaks between splits" in lines[21]
    assert all(kind in lines[21] for kind in ("recording", "samples", "face"))


def test_info_prints_the_counts(tiny_data: Path) -> None:
    result = runner.invoke(app, ["info", str(tiny_data)])
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if "speaker01" in line)
    assert [word for word in row.replace("│", " ").split() if word.isdigit()] == ["16", "4", "4", "6", "24"]
    assert open_dataset(tiny_data).content_hash in result.output


def test_info_prints_json(tiny_data: Path) -> None:
    summary = json.loads(runner.invoke(app, ["info", str(tiny_data), "--json"]).output)
    assert summary["pairs"] == summary["faces"] == 72
    assert summary["splits"] == {"train": 48, "validation": 12, "test": 12}
    assert summary["speech_s"] == 72
    assert summary["identities"]["speaker02"]["splits"]["test"] == {"pairs": 4, "recordings": 1}
    assert summary["content_hash"] == open_dataset(tiny_data).content_hash


def test_the_commands_prepare_data(tmp_path: Path) -> None:
    out = str(tmp_path / "data")
    arguments = ["synth", "--out", out, "--identities", "2", "--recordings", "3", "--seconds", "1"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "6 pairs (2 train, 2 validation, 2 test), 6 faces, 6 recordings of 2 identities" in result.output
    assert runner.invoke(app, [*arguments, "--exist-ok"]).exit_code == 0
    assert isinstance(runner.invoke(app, arguments).exception, DataError)
    assert runner.invoke(app, [*arguments, "--overwrite", "--seed", "1"]).exit_code == 0


def test_the_import_command_says_what_it_skipped(sample_folder: Path, tmp_path: Path) -> None:
    for identity in ("jaimealtozano", "javiermuniz"):
        (tmp_path / "some" / identity).mkdir(parents=True)
        for path in sorted((sample_folder / identity).iterdir()):
            if int(path.stem.rsplit("_", 1)[1]) % 40 < 4:
                (tmp_path / "some" / identity / path.name).symlink_to(path)
    broken = tmp_path / "some" / "javiermuniz" / "cropped_face_frame_1.png"
    broken.unlink()
    broken.write_text("no picture")
    result = runner.invoke(app, ["import", str(tmp_path / "some"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (
        "cropped_face_frame_1.png: no picture that can be read (of no known format): skipped" in result.stderr
    )
    assert "unreadable picture: 1\n" in result.stdout
    assert "recordings of 2 identities" in result.stdout


def test_an_image_size_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    result = runner.invoke(app, ["synth", "--out", str(tmp_path / "data"), "--image-size", "100"])
    assert result.exit_code == 2
