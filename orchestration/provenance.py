"""Which code ran: the commit of the repository it is in, and what differs from it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import wav2pix

MAX_DIFF_BYTES = 1_000_000


@dataclass(frozen=True)
class Code:
    """A commit and the changes on top of it; both empty where the code is not in a repository."""

    commit: str = ""
    diff: str = ""

    @property
    def label(self) -> str:
        """For a card: the commit, and whether it was changed."""
        if not self.commit:
            return "not from a git repository"
        return f"{self.commit}{' with changes' if self.diff else ''}"


def running_code() -> Code:
    """The state of the repository that the trainer is imported from."""
    folder = Path(wav2pix.__file__).parent
    # Installed in an environment below some project, it is not part of that project.
    if not _git(folder, "ls-files", "--error-unmatch", "__init__.py"):
        return Code()
    commit = _git(folder, "rev-parse", "HEAD").strip()
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff") if commit else ""
    return Code(commit, diff[:MAX_DIFF_BYTES])


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
