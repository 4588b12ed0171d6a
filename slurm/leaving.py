"""How what runs on a Ray node hears that the node is about to go: a file in the node's own folder."""

from __future__ import annotations

import os
from pathlib import Path

# Of every process on a node: the node's own folder, on the disk of its host.
NODE_VARIABLE = "WAV2PIX_NODE"
LEAVING = "leaving"


def node_folder() -> Path | None:
    """The folder of the Ray node that this process runs on; None outside of worker jobs."""
    folder = os.environ.get(NODE_VARIABLE)
    return Path(folder) if folder else None


def announce_leaving(folder: Path) -> None:
    """Tell everybody on the node whose folder this is."""
    (folder / LEAVING).touch()


def is_leaving() -> bool:
    """Whether the node that this process runs on is about to go."""
    folder = node_folder()
    return folder is not None and (folder / LEAVING).exists()
