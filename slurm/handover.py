"""Variables that jobs need and that nobody else may see: in a private file, which the jobs themselves read.

A scheduler keeps the environment of whoever submits a job, and hands it on to places that others can read. What
holds a secret is therefore left out of the environment that it is given (:mod:`slurm.command`) and of the batch
scripts (:mod:`slurm.body`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from slurm.errors import SlurmError
from slurm.folder import Cluster, ClusterFolder
from slurm.private import read_if_there, write_private
from slurm.secret_names import holds_secret

VARIABLES = TypeAdapter(dict[str, str])


def hand_over(folder: ClusterFolder, variables: Mapping[str, str]) -> None:
    """Have all jobs that start from now on set these variables, and no longer those of an earlier call."""
    write_private(folder.variables, VARIABLES.dump_json(dict(variables)))


def take_over(cluster: Cluster, folder: ClusterFolder) -> None:
    """Set the variables in this process, which is a job; what the profile says of one counts for more.

    Raises:
        SlurmError: the file is damaged.
    """
    content = read_if_there(folder.variables) or b"{}"
    try:
        variables = VARIABLES.validate_json(content)
    except ValidationError:
        # Without the validator's own words: they show what was in the file.
        raise SlurmError(f"{folder.variables}: is damaged; submit the sweep again") from None
    chosen = cluster.profile.environment
    os.environ.update({name: value for name, value in variables.items() if name not in chosen})
    os.environ.update({name: value for name, value in chosen.items() if holds_secret(name, value)})


def forget(folder: ClusterFolder) -> None:
    """No job needs them any more."""
    folder.variables.unlink(missing_ok=True)
