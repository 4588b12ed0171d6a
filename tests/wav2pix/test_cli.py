"""The trainer's commands, as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from wav2pix.data import open_dataset

TINY = [
    *("--set", "batch_size=8"),
    *("--set", "encoder.channels=[8, 8, 16, 16]"),
    *("--set", "generator.channels=[32, 16, 16, 8, 8]"),
    *("--set", "discriminator.channels=[8, 16, 16, 16]"),
    *("--set", "runtime.num_threads=1"),
]


def one_line(text: str) -> str:
    """What was printed, without the line breaks of a narrow terminal."""
    return " ".join(text.split())


def wav2pix(*arguments: str | Path, status: int = 0) -> str:
    """Standard output of a command, or its standard error where it is to fail."""
    done = subprocess.run(
        [Path(sys.executable).with_name("wav2pix"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if status else done.stdout


# Of the three speakers of the tiny data.
HELD_OUT = "speaker02"


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    how = ["--epochs", "1", "--hold-out-identities", HELD_OUT, *TINY]
    printed = wav2pix("train", "--data", tiny_data, "--out", folder, *how)
    assert "epoch 1/1" in printed and "identity" in printed
    return folder


def test_training_leaves_metrics_a_picture_and_a_checkpoint(run: Path) -> None:
    (line,) = (run / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["epoch"] == 1
    with Image.open(run / "pictures" / "epoch-0001.png") as picture:
        assert picture.width > picture.height
    assert [folder.name for folder in (run / "checkpoints").iterdir()] == ["epoch-0001"]


def test_training_goes_on_only_when_asked_to(run: Path, tiny_data: Path) -> None:
    again = ["train", "--data", tiny_data, "--out", run, "--epochs", "2", *TINY]
    assert "hold_out_identities" in wav2pix(*again, "--resume", status=1)
    again += ["--hold-out-identities", HELD_OUT]
    assert "go on with --resume" in wav2pix(*again, status=1)
    printed = wav2pix(*again, "--resume")
    assert "epoch 2/2" in printed and "epoch 1/2" not in printed
    numbers = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert numbers == [1, 2]


def test_a_typo_in_a_setting_names_the_right_one(tiny_data: Path, tmp_path: Path) -> None:
    error = wav2pix(
        "train", "--data", tiny_data, "--out", tmp_path / "run", "--set", "optimizer.lr_generatr=1", status=1
    )
    assert "no setting 'optimizer.lr_generatr'; did you mean 'optimizer.lr_generator'?" in error
    assert not (tmp_path / "run").exists()


def test_a_setting_of_another_component_is_refused_as_such(tiny_data: Path, tmp_path: Path) -> None:
    changed = ["--set", "encoder.type=segan", "--set", "encoder.norm=4"]
    error = wav2pix("train", "--data", tiny_data, "--out", tmp_path / "run", *changed, status=1)
    assert "the chosen encoder.type has no setting 'norm'" in error


def test_a_folder_that_is_no_run_is_left_alone(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    error = wav2pix("train", "--data", tiny_data, "--out", tmp_path, *TINY, status=1)
    assert "is no run" in error
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_speaker_to_hold_out_that_is_not_there_is_refused_with_the_closest(
    tiny_data: Path, tmp_path: Path
) -> None:
    train = ["train", "--data", tiny_data, "--out", tmp_path / "run", *TINY]
    error = one_line(wav2pix(*train, "--hold-out-identities", "speaker00, speaker2", status=1))
    assert f"hold_out_identities: no speaker 'speaker2' in {tiny_data}; did you mean 'speaker02'?" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_evaluation_measures_known_and_unseen_speakers_apart_and_writes_what_it_printed_into_a_report(
    run: Path, tiny_data: Path, tmp_path: Path
) -> None:
    evaluate = ["evaluate", "--model", run, "--data", tiny_data, "--lengths", "0.5,4"]
    tree = json.loads(wav2pix(*evaluate, "--hold-out-identities", "--json", "--report", tmp_path / "report"))
    data = open_dataset(tiny_data)
    of_stranger = data.identity[data.indices("test")] == data.identities.index(HELD_OUT)
    assert tree["unseen"]["identities"] == [HELD_OUT]
    assert (
        tree["unseen"]["num_pairs"] == of_stranger.sum() and tree["known"]["num_pairs"] == (~of_stranger).sum()
    )
    assert tree["known"]["unknown_identities"] == [HELD_OUT]
    l1 = tree["known"]["measures"]["l1"]
    assert l1["low"] < l1["value"] < l1["high"]
    assert list(tree["known"]["by_length"]) == ["0.5"]
    report = (tmp_path / "report" / "report.html").read_text()
    for part in (tree["known"], tree["unseen"]):
        assert f"{part['measures']['l1']['value']:.4f}" in report
        assert f"{part['by_length']['0.5']['l1']['value']:.4f}" in report
    assert any("4 s" in note and note in report for note in tree["known"]["notes"])


@pytest.mark.slow
def test_evaluation_prints_its_measures_as_tables_or_as_latex(run: Path, tiny_data: Path) -> None:
    evaluate = ["evaluate", "--model", run, "--data", tiny_data, "--lengths", "", "--split", "validation"]
    table = wav2pix(*evaluate)
    assert "identity_accuracy_shuffled" in table and "8 pairs from 2 recordings" in one_line(table)
    left_out = f"Left out, never seen by the model: {HELD_OUT}; --hold-out-identities measures them"
    assert left_out in one_line(table)
    (l1,) = (line.split("│")[2].strip() for line in table.splitlines() if line.startswith("│ l1 "))
    latex = wav2pix(*evaluate, "--latex")
    assert latex.count("\\begin{tabular}{lc}") == 1
    assert f"L1 $\\downarrow$ & ${float(l1):.3f}$" in latex


def test_a_report_never_goes_into_a_folder_of_something_else(
    run: Path, tiny_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    evaluate = ["evaluate", "--model", run, "--data", tiny_data]
    error = one_line(wav2pix(*evaluate, "--report", tmp_path, status=1))
    assert f"{tmp_path}: holds 'thesis.txt', so it is left alone: choose another --report" in error


def test_an_embedder_that_is_no_network_is_named(run: Path, tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "face.onnx").write_text("not a network")
    evaluate = ["evaluate", "--model", run, "--data", tiny_data]
    error = one_line(wav2pix(*evaluate, "--embedder", tmp_path / "face.onnx", status=1))
    assert f"{tmp_path / 'face.onnx'}: " in error and "ONNX" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lengths", "1,soon"], "--lengths 1,soon: 'soon' is no number of seconds"),
        (["--lengths", "0"], "--lengths 0: '0' is no number of seconds"),
        (["--json", "--latex"], "--json or --latex: choose one"),
    ],
)
def test_arguments_of_an_evaluation_that_make_no_sense_are_refused_at_once(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    error = wav2pix("evaluate", "--model", tmp_path, "--data", tmp_path, *arguments, status=1)
    assert message in error


def test_a_missing_model_is_named(tiny_data: Path, tmp_path: Path) -> None:
    error = wav2pix("evaluate", "--model", tmp_path / "none", "--data", tiny_data, status=1)
    assert f"{tmp_path / 'none'}: no such folder" in error.replace("\n", "")


def speech_file(path: Path, seconds: float, rate: int = 44100, channels: int = 2) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.1, (int(seconds * rate), channels))
    soundfile.write(path, noise, rate)
    return path


def test_stereo_speech_at_another_rate_gives_a_picture_a_second(run: Path, tmp_path: Path) -> None:
    speech = speech_file(tmp_path / "talk.flac", seconds=3.2)
    wav2pix("generate", "--model", run, speech, "--out", tmp_path / "faces")
    assert sorted(file.name for file in (tmp_path / "faces").iterdir()) == [
        "talk-0000.png",
        "talk-0001.png",
        "talk-0002.png",
    ]
    wav2pix("generate", "--model", run, speech, "--out", tmp_path / "talk.png")
    with Image.open(tmp_path / "talk.png") as picture:
        assert picture.size == (3 * 64 + 4, 64)


def test_two_recordings_of_one_name_make_two_pictures(run: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        speech_file(tmp_path / folder / "talk.wav", seconds=1, rate=16000, channels=1)
    wav2pix(
        "generate", "--model", run, tmp_path / "a/talk.wav", tmp_path / "b/talk.wav", "--out", tmp_path / "out"
    )
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["talk-2.png", "talk.png"]


def test_speech_that_is_too_short_is_refused_with_both_lengths(run: Path, tmp_path: Path) -> None:
    speech = speech_file(tmp_path / "short.wav", seconds=0.4)
    error = wav2pix("generate", "--model", run, speech, "--out", tmp_path / "out.png", status=1)
    assert "0.40 s of sound; this model needs 1.00 s" in error.replace("\n", " ")
    assert not (tmp_path / "out.png").exists()


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, wav2pix.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
