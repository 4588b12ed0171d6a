"""Which Ray runs the trials of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LocalRay:
    """One that is started on this machine for the sweep, and ended with it."""


@dataclass(frozen=True)
class RemoteRay:
    """One that is there already, and whose nodes come and go; this host must have one of them.

    Attributes:
        address: of its head, ``host:port``.
        token: the file with the token that it asks for.
    """

    address: str
    token: Path


RayAt = LocalRay | RemoteRay
