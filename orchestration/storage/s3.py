"""Artifacts in a bucket of an S3 server."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError

from orchestration.storage.errors import DamagedArtifact, missing, unreadable, unwritable
from orchestration.storage.manifest import MANIFEST, Manifest, Stamp, check_file, stamp_of_file
from orchestration.storage.s3_client import CONNECTIONS, Bucket
from orchestration.storage.settings import Artifacts
from orchestration.storage.store import Stored, check_key

T = TypeVar("T")

# Larger files travel in parts of this size, several at a time; a server checks each by its checksum.
PART_BYTES = 16 * 1024**2
GONE = {"NoSuchKey", "404", "InvalidRange", "416"}
# As many as one request may delete.
BATCH = 1000


class S3Store:
    """Each artifact is the objects below its key; its manifest is written last and deleted first."""

    def __init__(self, artifacts: Artifacts, folder: str, part_bytes: int = PART_BYTES) -> None:
        self._bucket = Bucket(artifacts)
        self._prefix = "/".join(part for part in (artifacts.prefix, folder) if part)
        self._transfer = TransferConfig(
            multipart_threshold=part_bytes, multipart_chunksize=part_bytes, max_concurrency=CONNECTIONS
        )

    def put(self, key: str, source: Path) -> None:
        """See :class:`ArtifactStore`. An artifact that is there already, file for file, is not sent again."""
        base = self._base(key)
        try:
            manifest = Manifest.of(source)
            with self._bucket.asked() as client:
                if self._is_there(client, base, manifest):
                    return
                there = self._sizes(client, f"{base}/")
                self._remove(
                    client, base, [name for name in there if name[len(base) + 1 :] not in manifest.files]
                )
                self._upload(client, base, source, manifest)
                self._write(client, f"{base}/{MANIFEST}", manifest.dump())
        except OSError as error:
            raise unreadable(source, error) from error

    def get(self, key: str, target: Path, only: Collection[str] | None = None) -> None:
        """See :class:`ArtifactStore`. What arrives other than it was put is fetched once more."""
        files = self.manifest(key).chosen(key, only)
        with _new(target) as folder:
            try:
                self._download(key, files, folder)
            except DamagedArtifact:
                self._download(key, files, folder)

    def manifest(self, key: str) -> Manifest:
        """What an artifact must be.

        Raises:
            MissingArtifact: there is none.
            DamagedArtifact: the manifest cannot be read.
        """
        with self._bucket.asked() as client:
            content = self._read(client, f"{self._base(key)}/{MANIFEST}")
        if content is None:
            raise missing(key)
        return Manifest.parse(content, key)

    def list(self, prefix: str) -> list[str]:
        """See :class:`ArtifactStore`."""
        base, end = f"{self._base(prefix)}/", f"/{MANIFEST}"
        with self._bucket.asked() as client:
            found = [name for name in self._sizes(client, base) if name.endswith(end)]
        # One that is the prefix itself is not below it.
        return sorted(self._key(name.removesuffix(end)) for name in found if len(name) >= len(base) + len(end))

    def delete(self, key: str) -> None:
        """See :class:`ArtifactStore`."""
        base = self._base(key)
        with self._bucket.asked() as client:
            self._remove(client, base, list(self._sizes(client, f"{base}/")))

    def move(self, key: str, to: str) -> None:
        """See :class:`ArtifactStore`."""
        source, target = self._base(key), self._base(to)
        self.delete(to)
        with self._bucket.asked() as client:
            names = sorted(self._sizes(client, f"{source}/"), key=lambda name: name == f"{source}/{MANIFEST}")
            for name in names:
                here = {"Bucket": self._bucket.name, "Key": name}
                client.copy(here, self._bucket.name, f"{target}{name[len(source) :]}", Config=self._transfer)
            self._remove(client, source, names)

    def stored(self, prefix: str) -> Sequence[Stored]:
        """All that takes up space below ``prefix``: artifacts, parts of some, and unfinished uploads."""
        base = f"{self._base(prefix)}/"
        with self._bucket.asked() as client:
            sizes = self._sizes(client, base)
            uploads = list(self._uploads(client, base))
        artifacts = {name.removesuffix(f"/{MANIFEST}") for name in sizes if name.endswith(f"/{MANIFEST}")}
        grouped: dict[str, dict[str, int]] = defaultdict(dict)
        for name, num_bytes in sizes.items():
            parents = (str(parent) for parent in Path(name).parents)
            grouped[next((parent for parent in parents if parent in artifacts), "")][name] = num_bytes
        rest = grouped.pop("", {})
        found = [self._stored(name, sum(files.values()), name) for name, files in grouped.items()]
        found += [self._stored(name, num_bytes) for name, num_bytes in rest.items()]
        return found + [self._unfinished(upload) for upload in uploads]

    def _stored(self, name: str, num_bytes: int, artifact: str = "") -> Stored:
        where = f"s3://{self._bucket.name}/{name}"
        if artifact:
            key = self._key(artifact)
            return Stored(where, num_bytes, partial(self.delete, key), key)
        return Stored(where, num_bytes, self._doing(lambda client: self._remove(client, name, [name])))

    def _unfinished(self, upload: dict[str, Any]) -> Stored:
        which = {"Bucket": self._bucket.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        with self._bucket.asked() as client:
            pages = client.get_paginator("list_parts").paginate(**which)
            num_bytes = sum(part["Size"] for page in pages for part in page.get("Parts", []))
        where = f"s3://{self._bucket.name}/{upload['Key']} (unfinished upload)"
        return Stored(where, num_bytes, self._doing(lambda client: client.abort_multipart_upload(**which)))

    def _doing(self, do: Callable[[Any], object]) -> Callable[[], None]:
        def done() -> None:
            with self._bucket.asked() as client:
                do(client)

        return done

    def _is_there(self, client: Any, base: str, manifest: Manifest) -> bool:
        return self._read(client, f"{base}/{MANIFEST}") == manifest.dump()

    def _upload(self, client: Any, base: str, source: Path, manifest: Manifest) -> None:
        with create_transfer_manager(client, self._transfer) as manager:
            sent = [
                manager.upload(str(source / name), self._bucket.name, f"{base}/{name}")
                for name in manifest.files
            ]
            for each in sent:
                each.result()

    def _download(self, key: str, files: Mapping[str, Stamp], folder: Path) -> None:
        base = self._base(key)
        with self._bucket.asked() as client, create_transfer_manager(client, self._transfer) as manager:
            fetched = {}
            for name in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                fetched[name] = manager.download(self._bucket.name, f"{base}/{name}", str(folder / name))
            for name, stamp in files.items():
                is_there = _unless_gone(lambda name=name: [fetched[name].result()])  # type: ignore[misc]
                check_file(key, name, stamp_of_file(folder / name) if is_there else None, stamp)

    def _read(self, client: Any, name: str) -> bytes | None:
        def read() -> bytes:
            content: bytes = client.get_object(Bucket=self._bucket.name, Key=name)["Body"].read()
            return content

        return _unless_gone(read)

    def _write(self, client: Any, name: str, content: bytes) -> None:
        client.put_object(Bucket=self._bucket.name, Key=name, Body=content)

    def _sizes(self, client: Any, base: str) -> dict[str, int]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket.name, Prefix=base)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def _uploads(self, client: Any, base: str) -> Iterator[dict[str, Any]]:
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket.name, Prefix=base)
        for page in pages:
            yield from page.get("Uploads", [])

    def _remove(self, client: Any, base: str, names: Sequence[str]) -> None:
        """Delete the objects of an artifact; what is left if this is cut off is none."""
        if f"{base}/{MANIFEST}" in names:
            client.delete_object(Bucket=self._bucket.name, Key=f"{base}/{MANIFEST}")
        rest = [{"Key": name} for name in names if name != f"{base}/{MANIFEST}"]
        for start in range(0, len(rest), BATCH):
            wanted = {"Objects": rest[start : start + BATCH], "Quiet": True}
            refused = client.delete_objects(Bucket=self._bucket.name, Delete=wanted).get("Errors")
            if refused:
                raise ClientError({"Error": refused[0]}, "DeleteObjects")

    def _base(self, key: str) -> str:
        return f"{self._prefix}/{check_key(key)}"

    def _key(self, name: str) -> str:
        return name.removeprefix(f"{self._prefix}/")


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            yield folder
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise unwritable(target, error) from error


def _unless_gone(do: Callable[[], T]) -> T | None:
    """What a request brings; None if its object is not there, or is too short for it."""
    try:
        return do()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in GONE:
            return None
        raise
