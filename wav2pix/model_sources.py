"""Where ``--model`` may point besides a folder.

The trainer knows folders only. Whoever composes the program says how other addresses are fetched, such as
``models:/NAME@champion``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wav2pix.errors import CheckpointError

# Downloads what an address names to a folder that is not there yet; returns the folder of the model in it.
Fetch = Callable[[str, Path], Path]

# By what comes before ":/".
MODEL_SOURCES: dict[str, Fetch] = {}


@contextmanager
def model_folder(model: str) -> Iterator[Path]:
    """The folder of a model, fetched to a temporary one where it is elsewhere.

    Raises:
        CheckpointError: nobody knows how to fetch it.
    """
    scheme, is_address, _ = model.partition(":/")
    if not is_address or Path(model).exists():
        yield Path(model)
        return
    if scheme not in MODEL_SOURCES:
        known = " or ".join(["a folder", *(f"{name}:/..." for name in MODEL_SOURCES)])
        raise CheckpointError(f"{model}: models cannot be fetched from '{scheme}:/'; give {known}")
    with tempfile.TemporaryDirectory(prefix="wav2pix-") as name:
        yield MODEL_SOURCES[scheme](model, Path(name) / "model")
