"""``python -m deploy``: the services of this machine, in the background."""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from deploy.files import LOOPBACK, Ports, remembered_ports
from deploy.local import ROOT, Services
from deploy.waiting import DeployError

STARTED = """{state}

    MLflow       {mlflow}
    S3           {s3}
    PostgreSQL   {postgres}

For a shell that uses them:

    source {env_file}

That file, which only you can read, exports {names}.
Data, logs and secrets are in {folder}. They run until: make services-stop
"""


def main() -> None:
    arguments = _arguments()
    folder: Path = arguments.folder
    if arguments.command != "start" and not folder.is_dir():
        sys.exit(f"{folder}: no such folder, so no services run from it")
    try:
        services = Services(folder, _ports(arguments), LOOPBACK, durable=True, faults=False)
        {"start": start, "stop": stop, "guard": guard}[arguments.command](services)
    except (DeployError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; make services-stop ends what has started")


def start(services: Services) -> None:
    state = "The services run already."
    if not services.running:
        print("Starting PostgreSQL, an S3 server and MLflow on this machine ...", flush=True)
        state = "They run."
    services.up()
    print(
        STARTED.format(
            state=state,
            mlflow=services.mlflow.url,
            s3=services.s3.url,
            postgres=services.postgres.address,
            env_file=_short(services.env_file),
            names=", ".join(services.env),
            folder=_short(services.env_file.parent),
        ),
        end="",
    )


def stop(services: Services) -> None:
    ended = [daemon.name for daemon in services.daemons if daemon.alive]
    services.down()
    print(f"Ended: {', '.join(ended)}." if ended else "No services ran.")


def guard(services: Services) -> None:
    """Wait for the end of whoever started this, then end the services."""
    sys.stdin.read()
    services.kill()


def _ports(arguments: argparse.Namespace) -> Ports:
    """Those that are asked for, for the rest those of the last start."""
    ports = remembered_ports(arguments.folder)
    if first := arguments.s3_port:
        ports = replace(ports, s3=first, s3_accounts=first + 1, s3_containers=first + 2, s3_objects=first + 3)
    asked = {"mlflow": arguments.mlflow_port, "postgres": arguments.postgres_port}
    return replace(ports, **{name: port for name, port in asked.items() if port})


def _short(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    parser.add_argument("command", nargs="?", default="start", choices=["start", "stop", "guard"])
    parser.add_argument("--folder", type=Path, default=ROOT / "services", help="for data and logs (services)")
    parser.add_argument("--mlflow-port", type=int, help="(5000)")
    parser.add_argument("--postgres-port", type=int, help="(5433)")
    parser.add_argument("--s3-port", type=int, help="this one and the next three (8085)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
