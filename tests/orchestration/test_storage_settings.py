"""Where artifacts go: the sweep file, the environment, the defaults file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestration.errors import OrchestrationError
from orchestration.storage import Artifacts, artifacts_of


@pytest.fixture
def defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("WAV2PIX_ARTIFACTS", raising=False)
    path = tmp_path / "wav2pix" / "defaults.yaml"
    path.parent.mkdir()
    return path


def test_without_anything_they_stay_in_the_sweeps_folder(defaults: Path) -> None:
    assert artifacts_of(None) == Artifacts()


def test_each_setting_comes_from_the_first_that_says_it(
    defaults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults.write_text("artifacts: {uri: 's3://lab/all', endpoint: 'https://s3.lab.example/', keep_best: 3}\n")
    found = artifacts_of(None)
    assert (found.bucket, found.prefix, found.endpoint) == ("lab", "all", "https://s3.lab.example")
    monkeypatch.setenv("WAV2PIX_ARTIFACTS", "s3://mine/a/b/")
    found = artifacts_of(Artifacts(keep_best=2))
    assert (found.uri, found.endpoint, found.keep_best) == ("s3://mine/a/b", "https://s3.lab.example", 2)
    assert artifacts_of(Artifacts(uri="s3://other")).uri == "s3://other"
    assert artifacts_of(Artifacts(uri=None)).uri is None, "a sweep file may say: in the folder"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"uri": "https://bucket/x"}, "s3://BUCKET/PREFIX"),
        ({"uri": "s3:///x"}, "s3://BUCKET/PREFIX"),
        ({"uri": "s3://key:word@bucket"}, "s3://BUCKET/PREFIX"),
        ({"endpoint": "s3.lab.example"}, "https://HOST"),
        ({"endpoint": "https://key:word@s3.lab.example"}, "credentials do not belong here"),
        ({"secret": "x"}, "Extra inputs"),
        ({"keep_newest": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Artifacts.model_validate(settings)


def test_a_mistake_is_named_with_its_place(defaults: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults.write_text("artifacts: {uri: 'lab/all'}\n")
    with pytest.raises(OrchestrationError, match=r"defaults.yaml: artifacts: uri: .*s3://BUCKET/PREFIX"):
        artifacts_of(None)
    defaults.unlink()
    monkeypatch.setenv("WAV2PIX_ARTIFACTS", "bucket")
    with pytest.raises(OrchestrationError, match=r"WAV2PIX_ARTIFACTS: .*s3://BUCKET/PREFIX"):
        artifacts_of(None)
