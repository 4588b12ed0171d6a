"""What is taken for a secret, and how it is kept out of what is logged."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from orchestration.secrets import has_password, masked, without_secrets
from slurm.secret_names import holds_secret, names_secret

SECRET = 'wJalr/XUt+"nFEMI'  # noqa: S105 - with all that is written differently in URLs and JSON


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_TOKEN"),
        *("MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "MYSQL_PWD", "db_pass", "GITHUB_TOKEN_2", "REDIS_AUTH"),
        *("apiKey", "APIKey", "api-key", "tracking.secretAccessKey", "s3.secrets", "SECRET_KEY_BASE"),
        *("AZURE_STORAGE_CONNECTION_STRING", "password_old", "Authorization", "session cookie"),
    ],
)
def test_a_name_of_a_secret_is_known_however_it_is_written(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("key", "keyboard", "primary_key", "sort_key", "key_size", "author", "authors", "secretary"),
        *("tokens_per_second", "num_tokens", "token_count", "TOKENIZERS_PARALLELISM", "bypass", "compass"),
        *("PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"),
        *("AWS_SHARED_CREDENTIALS_FILE", "password_file", "MLFLOW_TRACKING_USERNAME", "string", "", "_", "7"),
        *("optimizer.lr_generator", "loss_real", "grad_norm_generator"),
    ],
)
def test_a_name_that_only_resembles_one_is_not_taken_for_a_secret(name: str) -> None:
    assert not names_secret(name)


def test_secrets_of_a_mapping_are_masked_at_any_depth_and_all_else_stays() -> None:
    settings = {
        "lr": 1e-4,
        "tokens_per_second": 3,
        "store": {"api_key": "abc", "uris": ["http://me:pw@host/x", "s3://bucket/a@b"]},
        "db.password": 1234,
        "use_token": True,
        "token": None,
    }
    assert masked(settings) == {
        "lr": 1e-4,
        "tokens_per_second": 3,
        "store": {"api_key": "***", "uris": ["http://me:***@host/x", "s3://bucket/a@b"]},
        "db.password": "***",
        "use_token": True,
        "token": None,
    }
    assert settings["db.password"] == 1234, "a copy"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql+psycopg://u:p@ss/w@host/db", "postgresql+psycopg://u:***@host/db"),
        ("at http://:pw@host:80, then", "at http://:***@host:80, then"),
        ("clone https://ghp_abc@github.com/x", "clone https://***@github.com/x"),
        ("http://u:123@host", "http://u:***@host"),
        ('{"uri": "redis://:pw@host", "by": "me@here"}', '{"uri": "redis://:***@host", "by": "me@here"}'),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        (
            "GET /b/k?X-Amz-Credential=AK%2F1&X-Amz-Date=2&X-Amz-Signature=ab12",
            "GET /b/k?X-Amz-Credential=***&X-Amz-Date=2&X-Amz-Signature=***",
        ),
    ],
)
def test_passwords_in_addresses_and_headers_are_masked(text: str, clean: str) -> None:
    assert without_secrets(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/models/wav2pix-a@champion",
        "http://127.0.0.1:5000 asks me@here",
        "ssh://git@host/repository",
        "s3://bucket/prefix@2",
        "epoch 3 of 10: loss_real 0.5, 12.0 s",
    ],
)
def test_addresses_without_a_password_and_plain_text_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) == text
    assert not has_password(text)


def test_the_value_of_a_secret_variable_is_masked_in_every_way_to_write_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("BACKEND", "postgresql://u:dbpassword@host/db")
    for form in (SECRET, quote(SECRET, safe=""), json.dumps(SECRET), repr(SECRET), "dbpassword"):
        assert without_secrets(f"(before{form}after)").replace("'", "").replace('"', "") == "(before***after)"
    assert masked({"note": f"with {SECRET}"}) == {"note": "with ***"}


def test_short_and_harmless_values_of_secret_variables_leave_texts_readable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_PASSWORD", "a")
    monkeypatch.setenv("SOME_AUTH", "true")
    monkeypatch.setenv("DB_PASSWORD", "real")
    assert without_secrets("a loss_real that is true") == "a loss_real that is true"
    assert without_secrets("it is real") == "it is ***"


def test_a_variable_is_secret_by_its_name_or_by_a_password_in_its_value() -> None:
    assert holds_secret("HF_TOKEN", "x")
    assert holds_secret("HTTPS_PROXY", "http://me:pw@proxy:3128")
    assert not holds_secret("HTTPS_PROXY", "http://proxy:3128")
    assert not holds_secret("HF_TOKEN", "")


def test_a_long_text_is_cleaned_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    text = "a.b+c-" * 170_000
    assert without_secrets(text + SECRET) == text + "***"
