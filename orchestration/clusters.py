"""Finding and reading cluster profiles; their errors read as those of sweep files."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import slurm
from orchestration.yaml_model import FileKind
from slurm.errors import ProfileError
from slurm.profile import PROFILE, ClusterProfile, LocalProfile, SlurmProfile

SHIPPED = Path(slurm.__file__).parent / "profiles"
PROFILE_FILE = FileKind(form=ClusterProfile, parser=PROFILE, failure=ProfileError, example="scheduler: slurm")


def load_profile(name_or_path: str) -> SlurmProfile | LocalProfile:
    """Read a profile: the user's own of that name, else the one that comes with the package, or a file.

    Raises:
        ProfileError: there is none, or one line for each thing that is wrong: ``file:line: what, what to do``.
    """
    return PROFILE_FILE.read(find_profile(name_or_path))[1]


def find_profile(name_or_path: str) -> Path:
    """The file of a profile; a word is a name, anything that has a slash or ends in ``.yaml`` a path.

    Raises:
        ProfileError: no profile has that name.
    """
    if "/" in name_or_path or name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path).expanduser()
    names = profile_names()
    if name_or_path in names:
        return names[name_or_path]
    close = difflib.get_close_matches(name_or_path, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"
    raise ProfileError(f"no cluster profile '{name_or_path}'; {hint}\nyour own go to {own_folder()}/NAME.yaml")


def profile_names() -> dict[str, Path]:
    """Every profile that has a name, and its file; the user's own come before those of the package."""
    files = [*sorted(SHIPPED.glob("*.yaml")), *sorted(own_folder().glob("*.yaml"))]
    return {path.stem: path for path in files}


def own_folder() -> Path:
    """Where users keep their profiles."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "wav2pix" / "clusters"
