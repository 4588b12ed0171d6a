"""Which folders of this machine a host sees.

A host shares all of them but /tmp, which is its own, and what no other user may enter, such as /root. Of these
it sees only what jobs need: this Python, this repository, and the folders that a testbed is told to share.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TMP = Path("/tmp")  # noqa: S108 - not for a file, but to give each host its own


def closed_folder(path: Path) -> Path | None:
    """The outermost folder above ``path`` that nobody but its owner and group can enter."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)


def view(stage: Path, shared: Iterable[Path] = (), *, own_tmp: bool) -> str:
    """Shell lines that change what a new mount namespace sees; ``stage`` is a new folder to prepare it in.

    For each covered folder, ``stage`` gets one that takes its place.
    """
    needed = [Path(sys.base_prefix), Path(sys.prefix), REPOSITORY, *shared]
    kept = {path.resolve() for path in needed}
    covers: dict[Path, list[Path]] = {TMP: []} if own_tmp else {}
    for path in sorted(kept):
        cover = TMP if own_tmp and TMP in path.parents else closed_folder(path)
        if cover and not kept & set(path.parents):
            covers.setdefault(cover, []).append(path)
    lines = []
    for cover, paths in covers.items():
        place = stage / cover.name
        place.mkdir(parents=True)
        place.chmod(0o1777 if cover == TMP else 0o755)
        for path in paths:
            point = place / path.relative_to(cover)
            point.mkdir(parents=True)
            lines.append(f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(point))}")
        lines.append(f"mount --rbind {shlex.quote(str(place))} {shlex.quote(str(cover))}")
    return "\n".join(lines)
