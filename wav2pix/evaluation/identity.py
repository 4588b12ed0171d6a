"""Whose face it is: classification, and the control that speech is dealt out anew."""

from __future__ import annotations

import numpy as np

from wav2pix.evaluation.intervals import ENDS, Labels, Recordings, Values
from wav2pix.evaluation.result import Measure


def shuffled_accuracy(
    named: Labels, identity: Labels, recordings: Recordings, num_shuffles: int, seed: int
) -> Measure:
    """The accuracy of faces that were drawn from somebody's speech, whoever it was.

    A deal puts the recordings in one random order for the faces and in another for the speakers, winds one
    round by a random number of pairs, and compares the two row by row. Each speaker then meets every face
    with the same probability, so that the mean over speakers of the accuracy is 1 / speakers on average,
    exactly and however unevenly the pairs are shared out: the share over all pairs is not. Recordings stay
    whole but for those at the seams, so that the deals vary as much as independent looks do.

    Args:
        named: (N,) the speaker given to each generated face, 0 to K - 1.
        identity: (N,) the speaker of each pair; each of the K occurs.
        recordings: of the pairs.
        num_shuffles: how many deals.
        seed: another seed deals otherwise.

    Returns:
        The mean over the deals; its interval, where the others have one, is where 95 % of the deals lie.
    """
    generator = np.random.default_rng(seed)
    counts = np.bincount(identity)
    values = np.empty(num_shuffles)
    for deal in range(num_shuffles):
        faces, speakers = (np.argsort(_order(recordings, generator), kind="stable") for _ in range(2))
        right = identity[speakers]
        hits = named[np.roll(faces, generator.integers(len(faces)))] == right
        values[deal] = (np.bincount(right, hits, len(counts)) / counts).mean()
    value = float(values.mean())
    if not recordings.resampled:
        return Measure(value)
    low, high = np.percentile(values, ENDS)
    return Measure(value, float(low), float(high), float(values.std()))


def hits(named: Labels, identity: Labels) -> Values:
    """(N,) 1 where the speaker was recognised, 0 elsewhere."""
    right: Values = (named == identity).astype(np.float64)
    return right


def _order(recordings: Recordings, generator: np.random.Generator) -> Labels:
    """(N,) the place of each pair's recording in a random order."""
    places: Labels = generator.permutation(recordings.count)[recordings.label]
    return places
