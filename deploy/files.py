"""Where the services keep what they know: folder, ports, secrets."""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shlex
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO

from deploy.waiting import DeployError, wait_for

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where each server listens. The last three are the S3 server's own."""

    mlflow: int = 5000
    postgres: int = 5433
    s3: int = 8085
    s3_accounts: int = 8086
    s3_containers: int = 8087
    s3_objects: int = 8088

    @classmethod
    def free(cls, host: str = LOOPBACK) -> Ports:
        """Ports that nobody uses, below those that the kernel gives to clients: a server that is started again
        finds its own still free."""
        found: list[int] = []
        for port in random.sample(range(15000, 30000), 2000):
            if not taken(host, port):
                found.append(port)
            if len(found) == len(fields(cls)):
                return cls(*found)
        raise DeployError(f"no free ports on {host}")


def taken(host: str, port: int) -> bool:
    """Whether a server cannot listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


@dataclass(frozen=True)
class Secrets:
    """Random, made once for a folder."""

    postgres: str = field(repr=False)
    s3: str = field(repr=False)
    s3_of_mlflow: str = field(repr=False)
    swift_hash: str = field(repr=False)


@dataclass(frozen=True)
class Place:
    """The folder of the services, and what all of them must know.

    Users can enter it, for PostgreSQL may run as another; what holds a secret only its owner can read. Data
    that is not ``durable`` may not survive a crash of the machine; ``faults`` lets the S3 server be broken.
    """

    root: Path
    host: str
    ports: Ports
    secrets: Secrets
    durable: bool
    faults: bool

    @classmethod
    def open(cls, root: Path, host: str, ports: Ports, durable: bool, faults: bool) -> Place:
        """The place at ``root``, which is made or empty at the first time."""
        known = root / "secrets.json"
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not known.exists():
                if any(root.iterdir()):
                    raise DeployError(
                        f"{root}: neither empty nor a folder of services; choose another with --folder"
                    )
                root.chmod(0o711)
            return cls(root, host, ports, _secrets(known), durable, faults)
        except OSError as error:
            raise DeployError(
                f"{error.filename}: {error.strerror}; choose another folder with --folder"
            ) from error

    def folder(self, name: str) -> Path:
        """A folder for a server's files, closed to others."""
        folder = self.root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def _secrets(path: Path) -> Secrets:
    names = [each.name for each in fields(Secrets)]
    if not path.exists():
        write_private(path, json.dumps({name: secrets.token_hex(20) for name in names}))
    with suppress(ValueError, TypeError):
        return Secrets(**json.loads(path.read_text()))
    raise DeployError(
        f"{path}: not the secrets {', '.join(names)}; delete it with its folder, and all data with it"
    )


def remembered_ports(root: Path) -> Ports:
    """The ports of the last start in ``root``, or the usual ones."""
    path = root / "ports.json"
    if not path.exists():
        return Ports()
    with suppress(OSError, ValueError, TypeError):
        return Ports(**json.loads(path.read_text()))
    raise DeployError(f"{path}: not the ports of the services; end them, and delete this file")


def remember_ports(root: Path, ports: Ports) -> None:
    write_private(root / "ports.json", json.dumps(asdict(ports)))


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Be the only one who holds the file ``path``."""
    with path.open("w") as file:
        wait_for(lambda: _lock(file), timeout_s, lambda: f"{path}: another process holds it")
        yield


def _lock(file: IO[str]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def write_private(path: Path, text: str, owner: tuple[int, int] | None = None) -> None:
    """Write a whole file that only its owner can read."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        if owner:
            os.fchown(file.fileno(), *owner)
        file.write(text)
    new.replace(path)


def exports(env: Mapping[str, str]) -> str:
    """Lines for a shell to read."""
    return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in env.items())
