"""The published layout becomes a data set: quirks are repaired, a bad file is said, counted and skipped."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from wav2pix.data import open_dataset
from wav2pix.data.check import find_leaks
from wav2pix.data.importer import Imported, import_folder
from wav2pix.errors import DataError

IDENTITIES, RECORDINGS, FACES = ("anna", "ben"), 4, 4


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 identities x 4 recordings x 4 faces x 2 windows; windows of a recording overlap by half a second."""
    root = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for identity in IDENTITIES:
        folder = root / identity
        folder.mkdir(parents=True)
        number = 0
        for _ in range(RECORDINGS):
            speech = rng.normal(0, 2000, 60000).astype(np.int16)
            for moment in range(FACES):
                coarse = rng.integers(60, 200, (6, 6, 3)).astype(np.uint8)
                coarse[..., 0] //= 3  # little red: blue once it is repaired
                picture = Image.fromarray(coarse).resize((150, 150), Image.Resampling.BICUBIC)
                for shift in (0, 2000):
                    start = moment * 8000 + shift
                    picture.save(folder / f"cropped_face_frame_{number}.png", "JPEG", quality=95)
                    soundfile.write(
                        folder / f"preprocessed_frame_{number}.wav", speech[start : start + 16000], 16000
                    )
                    number += 1
    return root


@pytest.fixture
def published(made_once: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made_once, tmp_path / "published"))


@pytest.fixture
def run(published: Path, tmp_path: Path) -> Callable[..., tuple[Imported, list[str]]]:
    """Import the folder, and return what came of it and what was said."""

    def run(**options: Any) -> tuple[Imported, list[str]]:
        said: list[str] = []
        return import_folder(published, tmp_path / "out", say=said.append, **options), said

    return run


Run = Callable[..., tuple[Imported, list[str]]]


def _wav(published: Path, number: int = 3) -> Path:
    return published / "anna" / f"preprocessed_frame_{number}.wav"


def _face(published: Path, number: int = 3) -> Path:
    return published / "anna" / f"cropped_face_frame_{number}.png"


def test_faces_are_kept_once_and_recordings_are_recovered(run: Run) -> None:
    imported, said = run()
    data = imported.data
    assert (len(data), len(data.faces), len(data.recordings)) == (64, 32, 8)
    assert data.identities == IDENTITIES
    assert (np.bincount(data.face) == 2).all()
    assert data.time_s[:9].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0]
    assert said == []
    assert find_leaks(data) == []
    assert {(data.identity[i], data.split[i]) for i in range(64)} == {
        (one, split) for one in (0, 1) for split in ("train", "validation", "test")
    }


def test_samples_are_bit_identical_to_the_files(run: Run, published: Path) -> None:
    data = run()[0].data
    for row, path in enumerate(sorted(published.glob("anna/*.wav"), key=lambda p: int(p.stem.split("_")[-1]))):
        assert (data.speech[row] == soundfile.read(path, dtype="int16")[0]).all()


def test_red_and_blue_are_exchanged_back_unless_kept(run: Run) -> None:
    repaired = np.asarray(run()[0].data.faces)
    kept = np.asarray(run(swap_red_blue=False, overwrite=True)[0].data.faces)
    assert (repaired == kept[..., ::-1]).all()
    assert repaired[..., 2].mean() < repaired[..., 0].mean()


def test_faces_get_the_size_asked_for(run: Run) -> None:
    assert run(image_size=128)[0].data.faces.shape == (32, 128, 128, 3)


def test_a_table_names_the_recordings(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("identity", "frame", "recording"))
        writer.writerows((who, n, f"{who}-video{n // 16}") for who in IDENTITIES for n in range(32))
    imported, said = run(recordings=table)
    assert imported.data.recordings == ("anna-video0", "anna-video1", "ben-video0", "ben-video1")
    assert said == []


def test_recordings_of_a_table_that_share_samples_or_a_face_stay_in_one_split(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"{who},{n},{who}-{n // 4}" for who in IDENTITIES for n in range(32)]  # halves of the true ones
    table.write_text("\n".join(["identity,frame,recording", *rows]))
    imported, _ = run(recordings=table)
    assert len(imported.data.recordings) == 16
    assert imported.num_dealt_together == 16
    assert find_leaks(imported.data) == []


def test_a_frame_that_the_table_lacks_is_skipped(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = [f"{who},{n},{who}-{n // 8}" for who in IDENTITIES for n in range(32) if (who, n) != ("ben", 5)]
    table.write_text("\n".join(["identity,frame,recording", *rows]))
    imported, (line,) = run(recordings=table)
    assert len(imported.data) == 63
    assert "ben/preprocessed_frame_5.wav: the table of recordings has no such frame: skipped" in line


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        ("who,frame\n", "table.csv:1: the first line must name the columns identity,frame,recording"),
        ("identity,frame,recording\nanna,one,a\n", "table.csv:2: not an identity, a frame number"),
        ("identity,frame,recording\nanna,1,a\nanna,1,b\n", "table.csv:3: frame 1 of anna is in two recordings"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(
    run: Run, tmp_path: Path, content: str | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "table.csv").write_text(content)
    with pytest.raises(DataError, match=reason):
        run(recordings=tmp_path / "table.csv")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _shorten(path: Path) -> None:
    soundfile.write(path, soundfile.read(path, dtype="int16")[0][:12000], 16000)


def _short(line: str) -> str:
    return line.replace("preprocessed_frame_", "sound_").replace("cropped_face_frame_", "face_")


BAD_FILES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "empty wav": (lambda p: _wav(p).write_bytes(b""), "sound_3.wav: the file is empty", "sound"),
    "wav without samples": (
        lambda p: soundfile.write(_wav(p), np.zeros(0), 16000), "sound_3.wav: holds no sound", "sound",
    ),
    "truncated wav": (lambda p: _truncate(_wav(p)), "sound_3.wav: cut off, 1000 bytes", "sound"),
    "text named wav": (
        lambda p: _wav(p).write_text("hello"), "sound_3.wav: no sound that can be read", "sound",
    ),
    "shorter wav": (
        lambda p: _shorten(_wav(p)), "sound_3.wav: 0.75 s of speech where most have 1 s", "shorter",
    ),
    "empty picture": (lambda p: _face(p).write_bytes(b""), "face_3.png: the file is empty", "picture"),
    "truncated picture": (
        lambda p: _truncate(_face(p)), "face_3.png: no picture that can be read", "picture",
    ),
    "text named png": (
        lambda p: _face(p).write_text("hello"), "face_3.png: no picture that can be read", "picture",
    ),
    "face without speech": (
        lambda p: _wav(p).unlink(), "face_3.png: has no sound_3.wav", "face without",
    ),
    "speech without face": (
        lambda p: _face(p).unlink(), "sound_3.wav: has no face_3.png", "speech without",
    ),
    "frame twice": (
        lambda p: _wav(p).with_name("preprocessed_frame_03.wav").write_bytes(_wav(p).read_bytes()),
        "sound_3.wav: the same frame as sound_03.wav", "twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_said_in_one_line_counted_and_skipped(run: Run, published: Path, case: str) -> None:
    spoil, expected, kind = BAD_FILES[case]
    spoil(published)
    imported, (line,) = run()
    assert expected in _short(line)
    assert str(published / "anna") in line
    assert line.endswith(": skipped")
    assert "\n" not in line
    assert len(imported.data) == (64 if case == "frame twice" else 63)
    assert [count for name, count in imported.findings.items() if kind in name] == [1]


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_stops_a_strict_import(run: Run, published: Path, tmp_path: Path, case: str) -> None:
    spoil, expected, _ = BAD_FILES[case]
    spoil(published)
    with pytest.raises(DataError, match="--strict stops here") as error:
        run(strict=True)
    assert expected in _short(str(error.value))
    assert [path.name for path in tmp_path.iterdir()] == ["published"]


def test_another_rate_is_resampled_and_said(run: Run, published: Path) -> None:
    samples = soundfile.read(_wav(published))[0]
    soundfile.write(_wav(published), np.repeat(samples, 3), 48000)
    imported, (line,) = run()
    assert "preprocessed_frame_3.wav: 48000 Hz: resampled to 16000 Hz" in line
    assert len(imported.data) == 64
    assert imported.findings == {"resampled": 1}
    with pytest.raises(DataError, match="48000 Hz"):
        run(strict=True, overwrite=True)


def test_recordings_are_recovered_from_files_of_another_rate(run: Run, published: Path) -> None:
    for path in published.glob("*/*.wav"):
        soundfile.write(path, soundfile.read(path, dtype="int16")[0], 15000)
    imported, said = run()
    assert len(imported.data.recordings) == 8
    assert len(said) == 64


def test_stereo_is_averaged_and_said(run: Run, published: Path) -> None:
    samples = soundfile.read(_wav(published), dtype="int16")[0]
    soundfile.write(_wav(published), np.stack([samples, samples], axis=1), 16000)
    imported, (line,) = run()
    assert "preprocessed_frame_3.wav: 2 channels: averaged to one" in line
    assert (imported.data.speech[3] == samples).all()
    assert len(imported.data.recordings) == 8


def test_a_longer_window_is_cut_and_said(run: Run, published: Path) -> None:
    samples = soundfile.read(_wav(published), dtype="int16")[0]
    soundfile.write(_wav(published), np.tile(samples, 2), 16000)
    imported, (line,) = run()
    assert "2 s of speech where most have 1 s: cut to 1 s" in line
    assert (imported.data.speech[3] == samples).all()


def test_one_identity_is_not_enough(run: Run, published: Path) -> None:
    for path in (published / "ben").glob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="'anna' is the only identity"):
        run()


@pytest.mark.parametrize("exists", [True, False])
def test_a_source_without_pairs_is_refused(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "nothing" / "someone").mkdir(parents=True)
    with pytest.raises(DataError, match="no pairs found; expected <identity>/" if exists else "no such folder"):
        import_folder(tmp_path / "nothing", tmp_path / "out")


def test_an_output_that_exists_is_refused_before_anything_is_read(published: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("")
    with pytest.raises(DataError, match="left alone"):
        import_folder(published, tmp_path / "out", progress=lambda done, total: pytest.fail("it read"))


def test_a_killed_import_leaves_nothing_that_looks_finished(published: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from wav2pix.data.importer import import_folder\n"
        f"source, out = Path({str(published)!r}), Path({str(tmp_path / 'out')!r})\n"
        "def tell(done, total):\n"
        "    if done == 20:\n"
        "        print('reading', flush=True)\n"
        "        sys.stdin.read()\n"
        "import_folder(source, out, progress=tell)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(DataError, match="no data set here"):
        open_dataset(tmp_path / "out")
    assert len(import_folder(published, tmp_path / "out").data) == 64


def test_the_published_sample_is_imported_in_less_than_a_minute(sample_folder: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    table = sample_folder.parent / "recordings.csv"
    imported = import_folder(sample_folder, tmp_path / "out", recordings=table if table.is_file() else None)
    assert time.monotonic() - start < 60
    data = imported.data
    assert (len(data.identities), len(data.faces), len(data)) == (2, 996, 1992)
    if table.is_file():
        assert len(data.recordings) == 51
    assert find_leaks(data) == []
    assert np.asarray(data.faces)[..., 0].mean() > np.asarray(data.faces)[..., 2].mean()  # skin is not blue


def test_the_recordings_of_the_published_sample_are_recovered(sample_folder: Path, tmp_path: Path) -> None:
    data = import_folder(sample_folder, tmp_path / "out").data
    assert 130 <= len(data.recordings) <= 145
    assert find_leaks(data) == []
