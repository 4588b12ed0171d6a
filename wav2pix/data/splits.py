"""Training, validation and test by whole recordings, stratified by identity, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from wav2pix.data.exact import Stream
from wav2pix.data.groups import Groups
from wav2pix.data.pairs import SPLITS

SHARES = (0.7, 0.15, 0.15)
_ATTEMPTS = 64


def split_pairs(
    identity: npt.NDArray[np.int64],
    recording: npt.NDArray[np.int64],
    *,
    seed: int,
    inseparable: Iterable[tuple[int, int]] = (),
    shares: tuple[float, float, float] = SHARES,
) -> npt.NDArray[np.str_]:
    """Deal whole recordings to the splits, for each identity as near to the shares as they allow.

    An identity with at least three separable recordings has one in every split; with two it has one in
    training and one in validation, with one in training only.

    Args:
        identity: (N,) index of the identity of each pair.
        recording: (N,) index of the recording of each pair.
        seed: another seed deals otherwise.
        inseparable: pairs of recordings that must not be dealt apart, such as those that share a face.
        shares: of train, validation and test, by number of pairs.

    Returns:
        (N,) the split of each pair.
    """
    recordings = Groups(int(recording.max()) + 1)
    for one, other in inseparable:
        recordings.join(one, other)
    group = recordings.labels()[recording]
    # counts[g, i]: pairs of identity i in group g. Usually one identity a group, so that the identities can be
    # dealt one after the other; those that share a group are dealt together.
    counts = np.zeros((int(group.max()) + 1, int(identity.max()) + 1), dtype=np.int64)
    np.add.at(counts, (group, identity), 1)
    strata = Groups(counts.shape[1])
    for row in counts:
        present = np.flatnonzero(row).tolist()
        for other in present[1:]:
            strata.join(present[0], other)
    dealt = np.zeros(len(counts), dtype=np.int64)
    for stratum in sorted(set(strata.labels().tolist())):
        members = np.flatnonzero(strata.labels() == stratum)
        groups = np.flatnonzero(counts[:, members].sum(axis=1))
        dealt[groups] = _deal(counts[np.ix_(groups, members)], seed, stratum, shares)
    return np.array(SPLITS)[dealt[group]]


def _deal(
    counts: npt.NDArray[np.int64], seed: int, stratum: int, shares: tuple[float, float, float]
) -> npt.NDArray[np.int64]:
    """The best of many random deals of groups (rows of ``counts``) to splits."""
    stream = Stream(seed, stratum, 21)
    sizes = counts.sum(axis=1)
    wanted = [float(share * sizes.sum()) for share in shares]
    best: tuple[float, list[int]] | None = None
    for attempt in range(_ATTEMPTS):
        order = stream.permutation(len(counts))
        if attempt % 2:  # the largest first comes nearer to the shares, at random is more varied
            order.sort(key=lambda group: -int(sizes[group]))
        dealt = _deal_once(counts, sizes.tolist(), order, wanted)
        held = [sum(int(s) for s, to in zip(sizes, dealt, strict=True) if to == split) for split in range(3)]
        cost = sum((have - want) ** 2 for have, want in zip(held, wanted, strict=True))
        cost += _num_missing(counts, dealt) * float(sizes.sum()) ** 2
        if best is None or cost < best[0]:
            best = (cost, dealt)
    assert best is not None
    return np.array(best[1], dtype=np.int64)


def _deal_once(
    counts: npt.NDArray[np.int64], sizes: list[int], order: list[int], wanted: list[float]
) -> list[int]:
    """First one group for each split and identity, then each group to the split that lacks most."""
    dealt = [-1] * len(sizes)
    lack = list(wanted)

    def give(group: int, split: int) -> None:
        dealt[group] = split
        lack[split] -= sizes[group]

    for identity in range(counts.shape[1]):
        own = [group for group in order if counts[group, identity]]
        for split in range(min(3, len(own))):
            free = [group for group in own if dealt[group] < 0]
            if free and not any(dealt[group] == split for group in own):
                give(free[0 if split == 0 else -1], split)
    for group in order:
        if dealt[group] < 0:
            give(group, max(range(3), key=lambda split: lack[split]))
    return dealt


def _num_missing(counts: npt.NDArray[np.int64], dealt: list[int]) -> int:
    """Splits that an identity could have a group in but has not."""
    splits = np.array(dealt)
    missing = 0
    for identity in range(counts.shape[1]):
        own = splits[counts[:, identity] > 0]
        missing += min(3, len(own)) - len(set(own.tolist()))
    return missing
