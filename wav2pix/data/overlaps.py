"""Windows of speech that share raw samples: they come from one recording, at times that overlap.

Like rsync: every window is indexed by the hashes of 32 samples at every 369th place, and the hashes at all
places of all windows are looked up. A run of 400 samples that two windows share contains an indexed place
wherever it lies. What is found is then compared sample by sample, so a hash that collides does no harm.

Silence, constant values and tones with a period of at most 16 samples are alike everywhere and prove nothing:
places in them are not indexed. Windows that were resampled one by one share nothing bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MIN_RUN = 400
_GRAM = 32
_STEP = MIN_RUN - _GRAM + 1
_MIN_SWING = 8  # of a run, in steps of 16 bits: less is silence with a little noise
_MAX_TWINS = 16  # a place that more windows share is compared with this many of them: they are one group anyway
_CHUNK = 1 << 20
_FILTER_BITS = 22

Int = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Windows = Sequence[npt.NDArray[np.int16]] | npt.NDArray[np.int16]


class SharedRun(NamedTuple):
    """``length`` samples that are the same in windows ``first`` < ``second``.

    Window ``second`` starts ``offset`` samples after window ``first``.
    """

    first: int
    second: int
    offset: int
    length: int


def shared_runs(windows: Windows) -> list[SharedRun]:
    """All pairs of windows that share a run of at least ``MIN_RUN`` samples, ordered.

    Args:
        windows: each (T,) int16; the lengths may differ. Mapped ones are not read into memory together.
    """
    joined = _Joined.of(windows)
    candidates: set[tuple[int, int, int]] = set()
    for one, other in _same_hash(joined, *_indexed_places(joined)):
        first, second = joined.window_of(one), joined.window_of(other)
        offset = (one - joined.starts[first]) - (other - joined.starts[second])
        swap = first > second
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        offset = np.where(swap, -offset, offset)
        rows = np.stack([first, second, offset], axis=1)[first != second]
        candidates.update(map(tuple, np.unique(rows, axis=0).tolist()))
    runs = (SharedRun(*pair, _longest_run(windows, pair)) for pair in sorted(candidates))
    return [run for run in runs if run.length >= MIN_RUN]


@dataclass(frozen=True)
class _Joined:
    """Windows one after another, of which a chunk at a time is in memory."""

    windows: Windows
    starts: Int
    ends: Int

    @classmethod
    def of(cls, windows: Windows) -> _Joined:
        ends = np.cumsum([len(window) for window in windows], dtype=np.int64)
        return cls(windows, np.concatenate([[0], ends])[:-1], ends)

    def window_of(self, places: Int) -> Int:
        return np.searchsorted(self.starts, places, side="right").astype(np.int64) - 1

    def chunks(self) -> Iterator[tuple[int, npt.NDArray[np.int16]]]:
        """The place of a chunk, and its samples with those that a hash of its last ones takes."""
        for start in range(0, int(self.ends[-1]) if len(self.ends) else 0, _CHUNK):
            yield start, self._between(start, start + _CHUNK + _GRAM - 1)

    def _between(self, low: int, high: int) -> npt.NDArray[np.int16]:
        first = np.searchsorted(self.ends, low, side="right")
        last = np.searchsorted(self.starts, high, side="left")
        parts = [
            self.windows[number][max(0, low - self.starts[number]) : high - self.starts[number]]
            for number in range(first, last)
        ]
        return np.concatenate(parts)


def _indexed_places(joined: _Joined) -> tuple[Int, Hashes]:
    """Every 369th place of each window whose 32 samples are worth comparing, and their hashes."""
    lists = [
        np.arange(start, end - _GRAM + 1, _STEP) for start, end in zip(joined.starts, joined.ends, strict=True)
    ]
    places = np.concatenate([*lists, np.zeros(0, np.int64)]).astype(np.int64)
    telling, hashes = [np.zeros(0, bool)], [np.zeros(0, np.uint64)]
    for start, samples in joined.chunks():
        low, high = np.searchsorted(places, (start, start + _CHUNK))
        grams = samples[places[low:high, None] - start + np.arange(_GRAM)]
        tells = grams.max(axis=1, initial=-32768).astype(np.int32) - grams.min(axis=1, initial=32767) >= 3
        for period in range(1, 17):
            tells &= (grams[:, period:] != grams[:, :-period]).any(axis=1)
        telling.append(tells)
        hashes.append(_hash(grams[tells])[:, 0])
    return places[np.concatenate(telling)], np.concatenate(hashes)


def _same_hash(joined: _Joined, places: Int, hashes: Hashes) -> Iterator[tuple[Int, Int]]:
    """Pairs of a place anywhere and an indexed place with equal hashes, chunk by chunk."""
    if len(places) == 0:
        return
    order = np.argsort(hashes, kind="stable")
    hashes, places = hashes[order], places[order]
    known, first, count = np.unique(hashes, return_index=True, return_counts=True)
    shift = np.uint64(64 - _FILTER_BITS)
    filled = np.zeros(1 << _FILTER_BITS, dtype=bool)
    filled[known >> shift] = True
    for start, samples in joined.chunks():
        chunk = _hash(samples) if len(samples) >= _GRAM else np.zeros(0, np.uint64)
        found = np.flatnonzero(filled[chunk >> shift])
        rank = np.minimum(np.searchsorted(known, chunk[found]), len(known) - 1)
        equal = known[rank] == chunk[found]
        found, rank = found[equal] + start, rank[equal]
        twins = np.minimum(count[rank], _MAX_TWINS)
        within = np.arange(twins.sum()) - np.repeat(np.cumsum(twins) - twins, twins)
        yield np.repeat(found, twins), places[np.repeat(first[rank], twins) + within]


def _hash(samples: npt.NDArray[np.int16]) -> Hashes:
    """(..., T) -> (..., T - 31) hash of the 32 samples from each place on, by doubling."""
    total = samples.astype(np.uint64)
    factor = 0x9E3779B97F4A7C15
    for shift in (1, 2, 4, 8, 16):
        total = total[..., :-shift] * np.uint64(factor) + total[..., shift:]
        factor = factor * factor % (1 << 64)
    mixed: Hashes = (total ^ (total >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed


def _longest_run(windows: Windows, pair: tuple[int, int, int]) -> int:
    """The longest run of equal samples of two windows at an offset, 0 if it is silence."""
    first, second, offset = pair
    low = max(0, offset)
    high = min(len(windows[first]), offset + len(windows[second]))
    a, b = windows[first][low:high], windows[second][low - offset : high - offset]
    breaks = np.concatenate([[-1], np.flatnonzero(a != b), [len(a)]])
    gaps = np.diff(breaks) - 1
    best = int(gaps.argmax())
    run = a[breaks[best] + 1 : breaks[best + 1]]
    silent = len(run) == 0 or int(run.max()) - int(run.min()) < _MIN_SWING
    return 0 if silent else len(run)
