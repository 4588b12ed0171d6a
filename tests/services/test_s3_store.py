"""Artifacts in a bucket of a real S3 server, and what such a server can do to them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

pytest.register_assert_rewrite("tests.orchestration.storage_suite")
from deploy.local import Services  # noqa: E402
from orchestration.errors import StorageError  # noqa: E402
from orchestration.storage import Artifacts, DamagedArtifact, DiskFull, StoreAway  # noqa: E402
from orchestration.storage.s3 import S3Store  # noqa: E402
from tests.orchestration.storage_suite import KEY, Harm, StorageSuite, checkpoint, files  # noqa: E402

__all__ = ["checkpoint"]

MIB = 1024**2
URI = "s3://wav2pix/tests"


@pytest.fixture
def settings(services: Services, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    for name, value in services.env.items():
        monkeypatch.setenv(name, value)
    return Artifacts(uri=URI)


@pytest.fixture
def folder() -> str:
    """Of a sweep of its own."""
    return f"sweep-{os.urandom(8).hex()}"


@pytest.fixture
def client(settings: Artifacts) -> Any:
    return boto3.session.Session().client("s3")


@pytest.fixture
def store(settings: Artifacts, folder: str) -> S3Store:
    return S3Store(settings, folder, part_bytes=5 * MIB)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A folder whose one file takes three parts."""
    source = tmp_path / "large"
    source.mkdir()
    (source / "weights").write_bytes(os.urandom(11 * MIB))
    return source


def names(client: Any, folder: str) -> list[str]:
    found = client.list_objects_v2(Bucket="wav2pix", Prefix=f"tests/{folder}/").get("Contents", [])
    return [entry["Key"].removeprefix(f"tests/{folder}/") for entry in found]


class TestS3Store(StorageSuite):
    @pytest.fixture
    def harm(self, client: Any, folder: str) -> Harm:
        def do(key: str, name: str, change: Callable[[bytes], bytes | None]) -> None:
            place = {"Bucket": "wav2pix", "Key": f"tests/{folder}/{key}/{name}"}
            content = change(client.get_object(**place)["Body"].read())
            client.delete_object(**place) if content is None else client.put_object(Body=content, **place)

        return do


def test_objects_are_where_a_person_would_look_for_them(
    store: S3Store, checkpoint: Path, client: Any, folder: str
) -> None:
    store.put(KEY, checkpoint)
    wanted = ["deep/state.json", "empty", "manifest.json", "weights"]
    assert names(client, folder) == [f"{KEY}/{name}" for name in wanted]


def test_a_large_file_travels_in_parts_and_comes_back(
    store: S3Store, large: Path, client: Any, folder: str, tmp_path: Path
) -> None:
    store.put(KEY, large)
    head = client.head_object(Bucket="wav2pix", Key=f"tests/{folder}/{KEY}/weights")
    assert head["ETag"].strip('"').endswith("-3"), "three parts"
    store.get(KEY, tmp_path / "back")
    assert files(tmp_path / "back") == files(large)
    store.move(KEY, "aside/x")
    store.get("aside/x", tmp_path / "aside")
    assert files(tmp_path / "aside") == files(large)


def test_what_is_there_already_is_not_sent_again(store: S3Store, large: Path, client: Any, folder: str) -> None:
    def changed() -> Any:
        return client.head_object(Bucket="wav2pix", Key=f"tests/{folder}/{KEY}/weights")["LastModified"]

    store.put(KEY, large)
    before = changed()
    time.sleep(1.1)
    store.put(KEY, large)
    assert changed() == before


def test_a_truncated_large_file_is_damage(
    store: S3Store, large: Path, client: Any, folder: str, tmp_path: Path
) -> None:
    store.put(KEY, large)
    content = (large / "weights").read_bytes()[: 6 * MIB]
    client.put_object(Bucket="wav2pix", Key=f"tests/{folder}/{KEY}/weights", Body=content)
    with pytest.raises(DamagedArtifact, match=f"has {6 * MIB} bytes instead of {11 * MIB}"):
        store.get(KEY, tmp_path / "back")


def test_a_server_refuses_what_was_changed_on_the_way(store: S3Store, large: Path, folder: str) -> None:
    """Of each part; a large file of which one is refused is not there."""

    def flip(request: Any, **_: Any) -> None:
        if "partNumber=2" in request.url:
            request.body = b"x" * 5 * MIB

    with store._bucket.asked() as client:
        client.meta.events.register("before-send.s3.UploadPart", flip)
    with pytest.raises(StorageError, match="wav2pix"):
        store.put(KEY, large)
    assert store.list("trials") == []


def test_unfinished_uploads_and_parts_of_artifacts_are_found_and_removed(
    store: S3Store, checkpoint: Path, client: Any, folder: str
) -> None:
    store.put("trials/0002/x", checkpoint)
    base = f"tests/{folder}/{KEY}"
    client.put_object(Bucket="wav2pix", Key=f"{base}/weights", Body=b"half")
    upload = client.create_multipart_upload(Bucket="wav2pix", Key=f"{base}/large")["UploadId"]
    part = {"Bucket": "wav2pix", "Key": f"{base}/large", "UploadId": upload, "PartNumber": 1}
    client.upload_part(Body=b"x" * 5 * MIB, **part)
    left = [stored for stored in store.stored("trials") if not stored.key]
    assert sorted(stored.num_bytes for stored in left) == [4, 5 * MIB]
    for stored in left:
        stored.remove()
    assert [stored.key for stored in store.stored("trials")] == ["trials/0002/x"]
    assert "Uploads" not in client.list_multipart_uploads(Bucket="wav2pix", Prefix=base)


def test_more_objects_than_one_page_or_one_request_holds(
    store: S3Store, client: Any, folder: str, tmp_path: Path
) -> None:
    client.put_object(Bucket="wav2pix", Key=f"tests/{folder}/{KEY}/manifest.json", Body=b"")
    source = tmp_path / "many"
    source.mkdir()
    for number in range(30):
        (source / f"{number:02d}").write_text("x")
    store.put(KEY, source)
    with store._bucket.asked() as inner:
        # Pages of ten, as if there were a hundred times as many.
        inner.meta.events.register(
            "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 10}
        )
    assert [stored.num_bytes >= 30 for stored in store.stored("trials")] == [True]
    assert store.list("trials") == [KEY]
    store.delete(KEY)
    assert names(client, folder) == []


def refusal(do: Callable[[], object]) -> StorageError:
    started = time.monotonic()
    with pytest.raises(StorageError) as raised:
        do()
    assert time.monotonic() - started < 60
    assert "\n" not in str(raised.value)
    return raised.value


def test_a_missing_bucket_is_named_and_does_not_pass(settings: Artifacts, checkpoint: Path) -> None:
    store = S3Store(settings.model_copy(update={"uri": "s3://no-such-bucket/x"}), "y")
    for do in (lambda: store.put(KEY, checkpoint), lambda: store.list("trials"), lambda: store.manifest(KEY)):
        error = refusal(do)
        assert "there is no bucket 'no-such-bucket' at http://127.0.0.1" in str(error)
        assert not isinstance(error, StoreAway)


def test_revoked_credentials_are_said_and_renewed_ones_are_found(
    services: Services, store: S3Store, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(KEY, checkpoint)
    services.s3.revoke()
    try:
        error = refusal(lambda: store.put("trials/0002/x", checkpoint))
    finally:
        services.s3.restore()
    assert isinstance(error, StoreAway)
    assert "refuses these credentials" in str(error)
    right = os.environ["AWS_SECRET_ACCESS_KEY"]
    store.put("trials/0002/x", checkpoint)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    other = S3Store(Artifacts(uri=URI), "other")
    assert isinstance(refusal(lambda: other.list("trials")), StoreAway)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", right)
    assert other.list("trials") == []


def test_no_credentials_at_all_do_not_pass(settings: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    error = refusal(lambda: S3Store(settings, "x").list("trials"))
    assert "no credentials" in str(error) and not isinstance(error, StoreAway)


def test_a_server_that_answers_503_is_away_and_nothing_half_sent_is_taken_for_whole(
    services: Services, store: S3Store, checkpoint: Path
) -> None:
    store.put(KEY, checkpoint)
    (checkpoint / "weights").write_text("new")
    services.s3.answer_503()
    try:
        errors = [refusal(lambda: store.put(KEY, checkpoint)), refusal(lambda: store.list("trials"))]
    finally:
        services.s3.answer_normally()
    assert all(isinstance(error, StoreAway) and "503" in str(error) for error in errors)
    store.put(KEY, checkpoint)
    assert store.list("trials") == [KEY]


def test_a_server_that_is_not_there_is_away(settings: Artifacts) -> None:
    store = S3Store(settings.model_copy(update={"endpoint": "http://127.0.0.1:9"}), "x")
    error = refusal(lambda: store.list("trials"))
    assert isinstance(error, StoreAway)
    assert "'wav2pix' at http://127.0.0.1:9 does not answer" in str(error)


def test_a_clock_that_is_wrong_is_said(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth

    now = botocore.auth.get_current_datetime
    hours = botocore.auth.datetime.timedelta(hours=3)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *args, **kw: now(*args, **kw) - hours)
    error = refusal(lambda: store.list("trials"))
    assert isinstance(error, StoreAway) and "clocks" in str(error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_said_when_fetching(store: S3Store, large: Path, small_disk: Path) -> None:
    store.put(KEY, large)
    with pytest.raises(DiskFull, match="free space"):
        store.get(KEY, small_disk / "back")
    assert list(small_disk.iterdir()) == []


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_an_upload_leaves_nothing_that_looks_whole(
    services: Services, store: S3Store, tmp_path: Path
) -> None:
    import threading

    source = tmp_path / "larger"
    source.mkdir()
    (source / "weights").write_bytes(os.urandom(100 * MIB))
    killer = threading.Timer(0.5, services.s3.kill)
    killer.start()
    try:
        assert isinstance(refusal(lambda: store.put(KEY, source)), StoreAway)
    finally:
        killer.join()
        services.s3.start()
    assert store.list("trials") == []
    store.put(KEY, source)
    store.get(KEY, tmp_path / "back")
    assert files(tmp_path / "back") == files(source)
