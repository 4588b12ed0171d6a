"""The services that other tests use are real ones, keep what they are given, and fail as they are told."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from mlflow import MlflowClient

from deploy.files import taken
from deploy.local import Services
from deploy.waiting import wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def s3_client(services: Services) -> Any:
    env = services.env
    return boto3.session.Session().client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 1}),
    )


def new_run(client: MlflowClient) -> str:
    experiment = client.create_experiment(f"test-{secrets.token_hex(4)}")
    return str(client.create_run(experiment).info.run_id)


def lives(pid: int) -> bool:
    """Whether the process runs; one that nobody has asked for its exit code yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def folder_of(services: Services) -> Path:
    return services.env_file.parent


def test_an_object_of_several_parts_comes_back_from_the_bucket_as_it_went(services: Services) -> None:
    client, body = s3_client(services), secrets.token_bytes(5 * 2**20 + 1000)
    upload = client.create_multipart_upload(Bucket="wav2pix", Key="test/parts")["UploadId"]
    target = {"Bucket": "wav2pix", "Key": "test/parts", "UploadId": upload}
    pieces = [body[: 5 * 2**20], body[5 * 2**20 :]]
    parts = [
        {"PartNumber": number, "ETag": client.upload_part(**target, PartNumber=number, Body=piece)["ETag"]}
        for number, piece in enumerate(pieces, start=1)
    ]
    client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket="wav2pix", Key="test/parts")["Body"].read() == body


def test_a_run_is_in_the_database_and_its_artifact_in_the_bucket(services: Services, tmp_path: Path) -> None:
    client = MlflowClient(services.env["MLFLOW_TRACKING_URI"])
    run = new_run(client)
    client.log_metric(run, "l1", 0.25, step=3)
    (tmp_path / "note.txt").write_text("a face")
    client.log_artifact(run, str(tmp_path / "note.txt"))
    with services.postgres.connect() as connection:
        rows = connection.execute("SELECT key, value, step FROM metrics WHERE run_uuid = %s", [run]).fetchall()
    assert rows == [("l1", 0.25, 3)]
    found = s3_client(services).list_objects_v2(Bucket="wav2pix-mlflow")["Contents"]
    assert [item["Size"] for item in found if item["Key"].endswith(f"{run}/artifacts/note.txt")] == [6]


@pytest.mark.parametrize("name", ["mlflow", "postgres", "s3"])
def test_what_was_kept_is_there_after_a_kill(services: Services, name: str) -> None:
    tracking, bucket = MlflowClient(services.env["MLFLOW_TRACKING_URI"]), s3_client(services)
    run, key = new_run(tracking), f"test/{name}"
    tracking.log_metric(run, "l1", 0.5)
    bucket.put_object(Bucket="wav2pix", Key=key, Body=b"kept")
    port = json.loads((folder_of(services) / "ports.json").read_text())[name]
    service = getattr(services, name)
    service.kill()
    try:
        assert not taken("127.0.0.1", port), "something still listens"
    finally:
        service.start()
    assert tracking.get_run(run).data.metrics == {"l1": 0.5}
    assert bucket.get_object(Bucket="wav2pix", Key=key)["Body"].read() == b"kept"


def test_the_s3_server_answers_503_when_told_and_then_serves_again(services: Services) -> None:
    client = s3_client(services)
    services.s3.answer_503()
    try:
        for call in (client.put_object, client.head_object, client.get_object):
            body = {"Body": secrets.token_bytes(300_000)} if call == client.put_object else {}
            with pytest.raises(ClientError) as refused:
                call(Bucket="wav2pix", Key="test/busy", **body)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    finally:
        services.s3.answer_normally()
    client.put_object(Bucket="wav2pix", Key="test/busy", Body=b"served")
    assert client.get_object(Bucket="wav2pix", Key="test/busy")["Body"].read() == b"served"


def test_a_revoked_key_is_refused_and_works_again_while_the_key_of_mlflow_still_does(
    services: Services, tmp_path: Path
) -> None:
    client, tracking = s3_client(services), MlflowClient(services.env["MLFLOW_TRACKING_URI"])
    client.put_object(Bucket="wav2pix", Key="test/revoked", Body=b"kept")
    (tmp_path / "note.txt").write_text("a face")
    run = new_run(tracking)
    services.s3.revoke()
    try:
        with pytest.raises(ClientError) as refused:
            client.get_object(Bucket="wav2pix", Key="test/revoked")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        tracking.log_artifact(run, str(tmp_path / "note.txt"))
    finally:
        services.s3.restore()
    assert client.get_object(Bucket="wav2pix", Key="test/revoked")["Body"].read() == b"kept"
    assert [item.path for item in tracking.list_artifacts(run)] == ["note.txt"]


def test_wrong_secrets_are_refused(services: Services) -> None:
    env = services.env
    wrong = boto3.session.Session().client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key="wrong",  # noqa: S106
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.list_buckets()
    nobody = requests.get(f"{env['AWS_ENDPOINT_URL']}/v1/AUTH_wav2pix/wav2pix", timeout=10)
    assert nobody.status_code == 401


def test_all_servers_listen_on_loopback_only(services: Services) -> None:
    heard = [
        (connection.laddr.ip, connection.laddr.port)
        for daemon in services.daemons
        for pid in daemon.pids()
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    ports = json.loads((folder_of(services) / "ports.json").read_text()).values()
    assert {ip for ip, _ in heard} == {"127.0.0.1"}
    assert {port for _, port in heard} == set(ports)


def test_no_secret_is_in_an_argument_a_log_or_a_file_that_others_can_read(services: Services) -> None:
    folder = folder_of(services)
    known = [value.encode() for value in json.loads((folder / "secrets.json").read_text()).values()]
    holders = {}
    for path in folder.rglob("*"):
        if path.is_file() and folder / "postgres" not in path.parents:
            content = path.read_bytes()
            if any(secret in content for secret in known):
                holders[str(path.relative_to(folder))] = path.stat().st_mode & 0o777
    assert set(holders) == {"secrets.json", "env", "pgpass", "swift/proxy.conf", "swift/swift.conf"}
    assert set(holders.values()) == {0o600}
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline()).encode()
        except psutil.Error:
            continue
        assert not any(secret in words for secret in known), process.name()


HOLD = """
import sys, time
from pathlib import Path
from deploy.local import Services
with Services.start(Path(sys.argv[1])) as services:
    print(*(pid for daemon in services.daemons for pid in daemon.pids()), flush=True)
    time.sleep(600)
"""


def test_the_services_end_with_the_process_that_started_them_even_when_that_is_killed(
    services: Services,
) -> None:
    """Beside those of this session, which go on."""
    folder = folder_of(services).with_name(f"{folder_of(services).name}-held")
    folder.mkdir()
    words = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        pids = [int(pid) for pid in holder.stdout.readline().split()]
        holder.send_signal(signal.SIGKILL)
    assert len(pids) > 8
    wait_for(lambda: not any(map(lives, pids)), 30, lambda: f"the end of {pids}")
    assert services.running
    shutil.rmtree(folder)


def test_every_service_is_named_by_what_is_exported(services: Services) -> None:
    shell = ["bash", "-c", f"source {services.env_file} && env"]
    plain = {"PATH": os.environ["PATH"]}
    exported = subprocess.run(shell, env=plain, capture_output=True, text=True, check=True, timeout=30).stdout
    seen = dict(line.split("=", 1) for line in exported.splitlines())
    assert services.env.items() <= seen.items()
    assert requests.get(f"{seen['MLFLOW_TRACKING_URI']}/health", timeout=10).text == "OK"
