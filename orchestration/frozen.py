"""A copy of the code as it is now, so that jobs run what was submitted however the working tree changes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from orchestration.provenance import MARK, Code, digest_of, running_code, source_files
from wav2pix.files import new_folder


@dataclass(frozen=True)
class Frozen:
    """A frozen copy.

    Attributes:
        hash: of its files.
        path: the folder that holds the packages: what is to be put first on Python's path.
        code: what it is a copy of.
    """

    hash: str
    path: Path
    code: Code


def freeze(target: Path) -> Frozen:
    """Copy the packages of this project to ``target``/HASH, unless they are there already."""
    files = source_files()
    digest = digest_of(files)
    path = target / digest
    if not (path / MARK).is_file():
        # Files may have changed since they were read; the copy is of what was read.
        code = replace(running_code(), hash=digest)
        with new_folder(path) as folder:
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            (folder / MARK).write_text(json.dumps(asdict(code)))
    return Frozen(digest, path, Code(**json.loads((path / MARK).read_text())))
