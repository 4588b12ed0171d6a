"""The block ``artifacts:`` of a sweep file, or of the defaults file: where checkpoints go, how many stay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from orchestration.defaults import defaults_file, load_defaults
from orchestration.errors import StorageError

VARIABLE = "WAV2PIX_ARTIFACTS"


def _s3_uri(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it is written s3://BUCKET/PREFIX")
    return uri.rstrip("/")


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is written https://HOST or http://HOST:PORT")
    if "@" in parts.netloc:
        raise ValueError("credentials do not belong here; boto3 finds them in the environment or in ~/.aws")
    return url.rstrip("/")


class Artifacts(BaseModel):
    """Where checkpoints and pictures go. Credentials are where boto3 finds them, never in a file of ours.

    Attributes:
        uri: without it they stay in the sweep's folder.
        endpoint: of the server; without it what the environment says, or Amazon's.
        path_style: buckets are in the path of a URL, not in the host's name; without it wherever there is an
            endpoint.
        ca_bundle: certificates that the server's is checked against.
        keep_newest: checkpoints of each trial that stay because they are new. Should one be damaged, there is
            another.
        keep_best: and because they are good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: Annotated[str, AfterValidator(_s3_uri)] | None = None
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    region: str | None = None
    path_style: bool | None = None
    ca_bundle: Path | None = None
    keep_newest: int = Field(2, ge=1)
    keep_best: int = Field(1, ge=1)

    @property
    def bucket(self) -> str:
        """The name in the URI."""
        return urlsplit(self.uri or "").netloc

    @property
    def prefix(self) -> str:
        """The path in the URI."""
        return urlsplit(self.uri or "").path.strip("/")


def artifacts_of(block: Artifacts | None) -> Artifacts:
    """What holds, setting by setting: the sweep file, then ``WAV2PIX_ARTIFACTS``, then the defaults file.

    Raises:
        StorageError: the variable or the defaults file says something that cannot be.
    """
    settings = _checked(dict(load_defaults().artifacts), f"{defaults_file()}: artifacts")
    if uri := os.environ.get(VARIABLE):
        settings |= _checked({"uri": uri}, VARIABLE)
    if block is not None:
        settings |= {name: getattr(block, name) for name in block.model_fields_set}
    return Artifacts(**settings)


def _checked(settings: dict[str, object], where: str) -> dict[str, object]:
    try:
        Artifacts.model_validate(settings)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise StorageError(f"{where}: {'; '.join(lines)}") from None
    return settings
