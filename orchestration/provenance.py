"""Which code runs: the commit of the repository it is in, what differs from it, and a hash of all its files."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("wav2pix", "orchestration", "slurm", "sweeps")
SUFFIXES = (".py", ".yaml", ".yml")
# Beside the packages where they are a copy that was frozen: what they are a copy of.
MARK = "frozen.json"
MAX_DIFF_BYTES = 1_000_000
HASH_DIGITS = 16


@dataclass(frozen=True)
class Code:
    """A commit and the changes on top of it; both empty where the code is not in a repository.

    Attributes:
        hash: of all source files.
    """

    commit: str = ""
    diff: str = ""
    hash: str = ""

    @property
    def label(self) -> str:
        """For a card: the commit, and whether it was changed."""
        if not self.commit:
            return "not from a git repository"
        return f"{self.commit}{' with changes' if self.diff else ''}"

    @property
    def tags(self) -> dict[str, str]:
        """For a run, as far as they are known."""
        tags = {"mlflow.source.git.commit": self.commit, "wav2pix.code_hash": self.hash}
        return {key: value for key, value in tags.items() if value}


def running_code() -> Code:
    """The state of the code that this process imports; of a frozen copy what was known when it was made."""
    folder = _folder("wav2pix")
    mark = folder.parent / MARK
    if mark.is_file():
        return Code(**json.loads(mark.read_text()))
    digest = digest_of(source_files())
    # Installed in an environment below some project, it is not part of that project.
    if not _git(folder, "ls-files", "--error-unmatch", "__init__.py"):
        return Code(hash=digest)
    commit = _git(folder, "rev-parse", "HEAD").strip()
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff") if commit else ""
    return Code(commit, diff[:MAX_DIFF_BYTES], digest)


def source_files() -> dict[str, bytes]:
    """The source files of this project as they are now, by their paths from where the packages are."""
    return {
        path.relative_to(folder.parent).as_posix(): path.read_bytes()
        for folder in map(_folder, PACKAGES)
        for path in sorted(folder.rglob("*"))
        if path.suffix in SUFFIXES and path.is_file() and not path.name.startswith(".")
    }


def digest_of(files: Mapping[str, bytes]) -> str:
    """The same for the same files, wherever they are."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:HASH_DIGITS]


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a constant command
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
