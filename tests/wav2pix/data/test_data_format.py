"""A prepared data set is complete or absent, and a damaged one says what is wrong with it."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wav2pix.data import Dataset, Pairs, open_dataset, write_dataset
from wav2pix.data.format import content_hash_of, pairs_of
from wav2pix.data.rows import RowFile
from wav2pix.errors import DataError


def _write(root: Path, data: Dataset, *, overwrite: bool = False, rows: int | None = None) -> Dataset:
    pairs = pairs_of(data)
    table = Pairs(*(getattr(pairs, name)[:rows] for name in Pairs.__dataclass_fields__))
    return write_dataset(
        root,
        speech=np.asarray(data.speech[:rows]),
        faces=np.asarray(data.faces),
        pairs=table,
        sample_rate_hz=data.sample_rate_hz,
        source={"kind": "test"},
        overwrite=overwrite,
    )


@pytest.fixture
def data(tiny_data: Path) -> Dataset:
    return open_dataset(tiny_data)


@pytest.fixture
def copy(tiny_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_data, tmp_path / "copy"))


def test_what_was_written_is_read(data: Dataset, tmp_path: Path) -> None:
    again = _write(tmp_path / "sub" / "again", data)
    assert (again.speech == data.speech).all()
    assert (again.faces == data.faces).all()
    for name in ("face", "identity", "recording", "time_s", "split"):
        assert (getattr(again, name) == getattr(data, name)).all(), name
    assert again.identities == data.identities == ("speaker00", "speaker01", "speaker02")
    assert again.source == {"kind": "test"}
    assert not list(tmp_path.glob("sub/.*"))


def test_the_arrays_are_mapped_and_read_only(data: Dataset) -> None:
    assert isinstance(data.speech, np.memmap)
    assert isinstance(data.faces, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        data.speech[0, 0] = 1


def test_the_splits_cover_every_pair_once(data: Dataset) -> None:
    splits = [data.indices(split) for split in ("train", "validation", "test")]
    assert sorted(np.concatenate(splits).tolist()) == list(range(len(data)))
    assert all((np.diff(split) > 0).all() for split in splits)


def test_the_hash_depends_on_the_content_and_not_on_the_place(data: Dataset, tmp_path: Path) -> None:
    assert _write(tmp_path / "a", data).content_hash == data.content_hash == content_hash_of(data)
    assert _write(tmp_path / "b", data, rows=-1).content_hash != data.content_hash


def test_another_process_maps_the_data_instead_of_receiving_a_copy(data: Dataset) -> None:
    message = pickle.dumps(data)
    assert len(message) < 1000
    assert (pickle.loads(message).speech == data.speech).all()  # noqa: S301  # our own bytes of a line ago


def test_a_writer_killed_half_way_leaves_nothing_that_looks_finished(data: Dataset, tmp_path: Path) -> None:
    root = tmp_path / "data"
    program = (
        "import os, sys; from pathlib import Path; from wav2pix.data.folder import replace_folder\n"
        "def fill(folder):\n"
        "    (folder / 'dataset.json').write_text('{}')\n"
        "    os._exit(9)\n"
        f"replace_folder(Path({str(root)!r}), fill)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    with pytest.raises(DataError, match="no data set here"):
        open_dataset(root)
    assert len(_write(root, data)) == len(data)


def test_a_writer_that_fails_cleans_up_and_keeps_the_old_data(copy: Path, data: Dataset) -> None:
    bad = pairs_of(data)
    with pytest.raises(TypeError):
        write_dataset(
            copy,
            speech=np.asarray(data.speech),
            faces=np.asarray(data.faces),
            pairs=bad,
            sample_rate_hz=16000,
            source={"not for JSON": object()},
            overwrite=True,
        )
    assert open_dataset(copy).content_hash == data.content_hash
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_data_set_is_replaced_only_when_asked(copy: Path, data: Dataset) -> None:
    with pytest.raises(DataError, match="--overwrite"):
        _write(copy, data, rows=-1)
    assert len(_write(copy, data, overwrite=True, rows=-1)) == len(data) - 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_never_touched(tmp_path: Path, data: Dataset, overwrite: bool) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(DataError, match="left alone"):
        _write(tmp_path / "thesis", data, overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_a_data_set_with_a_strangers_file_in_it_is_not_replaced(copy: Path, data: Dataset) -> None:
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"notes\.txt"):
        _write(copy, data, overwrite=True)
    assert (copy / "notes.txt").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, data: Dataset) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        _write(tmp_path / "file" / "data", data)


@pytest.mark.parametrize("name", ["speech.npy", "faces.npy", "pairs.csv", "dataset.json"])
def test_a_missing_file_is_named_with_the_cure(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DataError, match=f"{name} missing: prepare the data set again"):
        open_dataset(copy)


@pytest.mark.parametrize("name", ["speech.npy", "faces.npy", "pairs.csv", "dataset.json"])
def test_a_truncated_file_is_named(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=name):
        open_dataset(copy)


def test_another_version_is_refused(copy: Path) -> None:
    description = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps(description | {"version": 99}))
    with pytest.raises(DataError, match="version 99, and this wav2pix reads version 1"):
        open_dataset(copy)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (",train\n", ",training\n", "'training' is no split"),
        ("\n3,", "\n3000,", "names a face that is not among the 72"),
        ("\n3,", "\nthree,", "invalid literal"),
        ("face,", "picture,", "the first line is not"),
        ("speaker00,", "speaker99,", "its identities are not those of dataset.json"),
    ],
)
def test_a_table_that_contradicts_the_rest_is_refused(copy: Path, old: str, new: str, reason: str) -> None:
    table = copy / "pairs.csv"
    table.write_text(table.read_text().replace(old, new, 1 if old != "speaker00," else -1))
    with pytest.raises(DataError, match=reason):
        open_dataset(copy)


def test_a_folder_that_is_no_data_set_is_told_how_to_become_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wav2pix data import"):
        open_dataset(tmp_path)


def test_rows_written_in_blocks_are_the_bytes_of_numpy(tmp_path: Path) -> None:
    array = np.arange(3000 * 6, dtype=np.int16).reshape(3000, 2, 3)
    np.save(tmp_path / "numpy.npy", array)
    with RowFile(tmp_path / "rows.npy", (2, 3), np.dtype("<i2")) as file:
        for start, end in ((0, 1), (1, 2500), (2500, 2500), (2500, 3000)):
            file.append(array[start:end])
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_a_data_set_may_be_written_in_blocks(tiny_data: Path, tmp_path: Path) -> None:
    data = open_dataset(tiny_data)
    pairs = pairs_of(data)
    blocks = write_dataset(
        tmp_path / "blocks",
        speech=(data.speech[start : start + 7] for start in range(0, len(data), 7)),
        faces=iter([data.faces[:1], data.faces[1:]]),
        pairs=Pairs(pairs.face, pairs.identity, pairs.recording, pairs.time_s, pairs.split),
        sample_rate_hz=data.sample_rate_hz,
        source=data.source,
        finish=lambda folder: _check_complete(open_dataset(folder), data),
    )
    assert blocks.content_hash == data.content_hash
    for name in ("speech.npy", "faces.npy", "pairs.csv", "dataset.json"):
        assert (blocks.root / name).read_bytes() == (tiny_data / name).read_bytes(), name


def _check_complete(partial: Dataset, data: Dataset) -> None:
    assert len(partial) == len(data)
