"""What the jobs of a sweep need to reach the tracking server and the artifact store."""

from __future__ import annotations

import os

from slurm.command import is_foreign
from slurm.folder import ClusterFolder
from slurm.handover import hand_over
from slurm.secret_names import holds_secret

# Of MLflow's clients, of boto3, and of this project.
PREFIXES = ("MLFLOW_", "AWS_", "WAV2PIX_")
# Which certificates they trust. Proxies and the like, unless with a password, are for the scheduler to hand on.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def service_variables() -> dict[str, str]:
    """The variables of this process that say where services are and how to log in, and all other secrets.

    The others too, since jobs would have had them from the scheduler: a token that data are fetched with.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not is_foreign(name)
        and (name.startswith(PREFIXES) or name in CERTIFICATES or holds_secret(name, value))
    }


def give_to_jobs(folder: ClusterFolder) -> None:
    """Have jobs that start from now on use the services as this process does."""
    hand_over(folder, service_variables())
