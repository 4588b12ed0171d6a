"""Checkpoints of a trial whose S3 server dies, refuses, and damages what it keeps."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy.local import Services
from orchestration.checkpoints import Checkpoints, ranked
from orchestration.folders import Storage, SweepFolder
from orchestration.pruning import plan_pruning
from orchestration.spec import Objective
from orchestration.storage import Artifacts, FolderStore, StagedStore, open_store, push

GOALS = (Objective(metric="l1", direction="minimize"),)
BEST = 4
KEY = "trials/0007/checkpoints/epoch-{:04d}"


@pytest.fixture
def artifacts(services: Services, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    for name, value in services.env.items():
        monkeypatch.setenv(name, value)
    return Artifacts(uri="s3://wav2pix/faults", keep_newest=1)


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    folder = Storage(tmp_path).sweep(f"sweep-{os.urandom(8).hex()}")
    folder.make()
    return folder


def open_staged(folder: SweepFolder, artifacts: Artifacts) -> StagedStore:
    store = open_store(folder, artifacts, "id", background=True)
    assert isinstance(store, StagedStore)
    return store


class Trial:
    """Keeps an epoch when told; epoch 4 is its best."""

    def __init__(self, store: StagedStore, tmp_path: Path, log: logging.Logger | None = None) -> None:
        self._checkpoints = Checkpoints(store, 7, log=log or logging.getLogger("trial"))
        self._source = tmp_path / "source"
        self.longest_s = 0.0

    def keep(self, epoch: int) -> None:
        shutil.rmtree(self._source, ignore_errors=True)
        self._source.mkdir()
        history = [{"epoch": each, "metrics": {"l1": abs(each - BEST)}} for each in range(1, epoch + 1)]
        (self._source / "trial.json").write_text(json.dumps({"history": history}))
        (self._source / "weights").write_bytes(bytes([epoch]) * 1_000_000)
        values = {each: [abs(each - BEST)] for each in range(1, epoch + 1)}
        started = time.monotonic()
        self._checkpoints.keep(epoch, self._source, ranked(values, GOALS))
        self.longest_s = max(self.longest_s, time.monotonic() - started)


def in_bucket(folder: SweepFolder) -> list[str]:
    client = boto3.session.Session().client("s3")
    prefix = f"faults/{folder.name}-id/"
    found = client.list_objects_v2(Bucket="wav2pix", Prefix=prefix).get("Contents", [])
    return [entry["Key"].removeprefix(prefix) for entry in found]


def wanted(*epochs: int) -> list[str]:
    return [
        f"{KEY.format(epoch)}/{name}" for epoch in epochs for name in ("manifest.json", "trial.json", "weights")
    ]


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "503", "revoked"])
def test_a_trial_does_not_notice_that_the_server_is_away_and_all_is_there_afterwards(
    services: Services, artifacts: Artifacts, folder: SweepFolder, tmp_path: Path, fault: str
) -> None:
    s3 = services.s3
    begin, end = {
        "killed": (s3.kill, s3.start),
        "503": (s3.answer_503, s3.answer_normally),
        "revoked": (s3.revoke, s3.restore),
    }[fault]
    store = open_staged(folder, artifacts)
    trial = Trial(store, tmp_path)
    trial.keep(1)
    assert store.flush(30)
    begin()
    try:
        for epoch in range(2, 7):
            trial.keep(epoch)
        until(lambda: store.problems)
        assert f"the bucket 'wav2pix' at {services.env['AWS_ENDPOINT_URL']}" in store.problems[0]
        assert store.waiting == [KEY.format(BEST), KEY.format(6)], "superseded ones are not sent"
    finally:
        end()
    trial.keep(7)
    assert store.close(60)
    assert (store.waiting, store.problems) == ([], ())
    assert in_bucket(folder) == wanted(BEST, 7)
    print(f"longest wait of the training thread while {fault}: {1000 * trial.longest_s:.0f} ms")  # noqa: T201 - a figure
    assert trial.longest_s < 1


def damage(folder: SweepFolder, epoch: int, change: Callable[[bytes], bytes]) -> None:
    client: Any = boto3.session.Session().client("s3")
    place = {"Bucket": "wav2pix", "Key": f"faults/{folder.name}-id/{KEY.format(epoch)}/weights"}
    client.put_object(Body=change(client.get_object(**place)["Body"].read()), **place)


@pytest.mark.parametrize(
    "change",
    [lambda content: content[:1000], lambda content: content[:-1] + b"x"],
    ids=["truncated", "flipped byte"],
)
def test_a_checkpoint_damaged_in_the_bucket_is_set_aside_and_the_one_before_is_used(
    artifacts: Artifacts,
    folder: SweepFolder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[bytes], bytes],
) -> None:
    store = open_staged(folder, artifacts)
    trial = Trial(store, tmp_path)
    for epoch in range(1, 7):
        trial.keep(epoch)
    assert store.close(60)
    # On another node, whose disk has nothing of the trial.
    shutil.rmtree(folder.root / "trials")
    damage(folder, 6, change)
    elsewhere = open_staged(folder, artifacts)
    found = Checkpoints(elsewhere, 7, log=logging.getLogger("trial")).newest(tmp_path / "resume")
    assert found is not None and (found / "weights").read_bytes()[0] == BEST
    said = [record.getMessage() for record in caplog.records if "set aside" in record.getMessage()]
    assert len(said) == 1 and KEY.format(6) in said[0]
    Trial(elsewhere, tmp_path).keep(5)
    assert elsewhere.close(60)
    assert in_bucket(folder)[:6] == wanted(BEST, 5)
    assert all(name.startswith("trials/0007/damaged/epoch-0006/") for name in in_bucket(folder)[6:])
    plan_pruning(open_store(folder, artifacts, "id"), GOALS, artifacts).do()
    assert in_bucket(folder) == wanted(BEST, 5)


def test_what_a_killed_trial_left_is_pushed_once(
    artifacts: Artifacts, folder: SweepFolder, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "weights").write_bytes(b"w" * 1000)
    local = FolderStore(folder.root)
    for epoch in (3, 4):
        local.put(KEY.format(epoch), source)
    pushed = push(folder, artifacts, "id")
    assert (pushed.sent, pushed.waiting, pushed.problems) == (2, (), ())
    assert in_bucket(folder) == [
        f"{KEY.format(epoch)}/{name}" for epoch in (3, 4) for name in ("manifest.json", "weights")
    ]
    assert local.list("trials") == [KEY.format(4)]
    assert push(folder, artifacts, "id").waiting == ()


def test_pruning_frees_both_places(artifacts: Artifacts, folder: SweepFolder, tmp_path: Path) -> None:
    store = open_staged(folder, artifacts)
    source = tmp_path / "source"
    source.mkdir()
    for epoch in range(1, 7):
        history = [{"epoch": each, "metrics": {"l1": abs(each - BEST)}} for each in range(1, epoch + 1)]
        (source / "trial.json").write_text(json.dumps({"history": history}))
        store.put(KEY.format(epoch), source)
    assert store.close(60)
    reader = open_store(folder, artifacts, "id")
    plan_pruning(reader, GOALS, artifacts).do()
    assert reader.list("trials") == [KEY.format(BEST), KEY.format(6)]
    assert plan_pruning(reader, GOALS, artifacts).doomed == ()
