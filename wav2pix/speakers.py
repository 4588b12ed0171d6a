"""Which speakers of a data set a model learns, and in what order."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wav2pix.config import TrainConfig
from wav2pix.data import Dataset
from wav2pix.errors import ConfigError


def learned_identities(config: TrainConfig, data: Dataset) -> tuple[str, ...]:
    """The speakers of a data set that are learned, in order: the classes of the model.

    Raises:
        ConfigError: a speaker to be held out is none of the data set, or fewer than two are left.
    """
    key = "hold_out_identities"
    for name in config.hold_out_identities:
        if name not in data.identities:
            close = difflib.get_close_matches(name, data.identities, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(data.identities)}"
            raise ConfigError(key, f"{key}: no speaker '{name}' in {data.root}; {hint}")
    learned = tuple(name for name in data.identities if name not in config.hold_out_identities)
    if config.hold_out_identities and len(learned) < 2:
        raise ConfigError(
            key,
            f"{key}: {len(learned)} of the {len(data.identities)} speakers of {data.root} would be left; "
            "training needs two: hold out fewer",
        )
    return learned


def class_of_identity(names: Sequence[str], data: Dataset) -> npt.NDArray[np.int64]:
    """(identities of the data set,): the place of each in ``names``, or -1."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(name, -1) for name in data.identities], np.int64)
