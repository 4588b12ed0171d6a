"""Windows that share raw samples are found, and silence and tones prove nothing."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from wav2pix.data.likeness import near_faces, thumbnails
from wav2pix.data.overlaps import MIN_RUN, shared_runs


def _speech(seed: int, samples: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 800, samples).astype(np.int16)


@pytest.mark.parametrize("offset", [0, 1, 777, 8000, 16000 - MIN_RUN])
def test_an_overlap_is_found_with_its_offset_and_length(offset: int) -> None:
    recording = _speech(0, 40000)
    windows = [_speech(1, 16000), recording[:16000], recording[offset : offset + 16000]]
    assert shared_runs(windows) == [(1, 2, offset, 16000 - offset)]


def test_an_overlap_backwards_is_found() -> None:
    recording = _speech(0, 40000)
    assert shared_runs([recording[5000:21000], recording[:16000]]) == [(0, 1, -5000, 11000)]


def test_every_run_of_400_is_found_wherever_it_lies() -> None:
    shared = _speech(5, MIN_RUN)
    for seed in range(40):
        one, other = _speech(100 + seed, 4000), _speech(200 + seed, 3000)
        first, second = (int(n) for n in np.random.default_rng(seed).integers(0, 2600, 2))
        one[first : first + MIN_RUN] = shared
        other[second : second + MIN_RUN] = shared
        (run,) = shared_runs([one, other])
        assert run[:3] == (0, 1, first - second)
        assert run.length >= MIN_RUN


def test_a_shorter_run_does_not_count() -> None:
    one, other = _speech(1, 4000), _speech(2, 4000)
    other[1000:1380] = one[1000:1380]
    assert shared_runs([one, other]) == []


@pytest.mark.parametrize("kind", ["zeros", "constant", "one bit of noise", "tone", "square"])
def test_silence_and_tones_do_not_join(kind: str) -> None:
    time = np.arange(16000)
    same = {
        "zeros": np.zeros(16000),
        "constant": np.full(16000, 1234),
        "one bit of noise": np.random.default_rng(0).integers(0, 2, 16000),
        "tone": 9000 * np.sin(2 * np.pi * time / 16),
        "square": 9000 * (time % 8 < 4),
    }[kind].astype(np.int16)
    one, other = _speech(1, 16000), _speech(2, 16000)
    one[4000:12000] = same[:8000]
    other[2000:14000] = same[:12000]
    assert shared_runs([one, other, same]) == []


def test_windows_of_different_lengths_and_very_short_ones_are_compared() -> None:
    recording = _speech(0, 30000)
    assert shared_runs([recording[:100], recording[:20000], recording[15000:16000]]) == [(1, 2, 15000, 1000)]
    assert shared_runs([]) == []


@pytest.mark.parametrize("before", [31, 200, 369, 399])
def test_a_run_across_the_end_of_a_chunk_is_found(before: int) -> None:
    shift = 231  # puts an indexed place 16 samples before the end
    border = (1 << 20) - shift
    long, short = _speech(1, border + 5000), _speech(2, 3000)
    short[1000 : 1000 + MIN_RUN] = long[border - before : border - before + MIN_RUN]
    assert shared_runs([_speech(3, shift), long, short]) == [(1, 2, border - before - 1000, MIN_RUN)]


def test_mapped_windows_are_not_in_memory_together(tmp_path: Path) -> None:
    np.save(tmp_path / "speech.npy", np.random.default_rng(0).integers(-999, 999, (1500, 64000), np.int16))
    windows = np.load(tmp_path / "speech.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        assert shared_runs(windows) == []
        assert tracemalloc.get_traced_memory()[1] < windows.nbytes / 3
    finally:
        tracemalloc.stop()


def _pictures(count: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3))
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2).astype(np.uint8)


def test_a_copy_that_is_brighter_and_noisier_is_near_and_others_are_not() -> None:
    faces = _pictures(30)
    noise = np.random.default_rng(1).integers(-6, 7, faces[7].shape)
    faces[20] = np.clip(faces[7] * 0.8 + 20 + noise, 0, 255)
    assert [(i, j) for i, j, _ in near_faces(thumbnails(faces), np.arange(30))] == [(7, 20)]


def test_near_faces_with_the_same_label_are_not_reported() -> None:
    faces = _pictures(10)
    faces[3] = faces[2]
    assert near_faces(thumbnails(faces), np.zeros(10, np.int64)) == []
