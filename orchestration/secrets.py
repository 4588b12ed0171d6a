"""Keeping secrets out of what is logged: parameters, tags, texts, files.

What counts as secret is said in :mod:`slurm.secret_names`. A text is also rid of the values of this process's
secret variables, however they are written there: as they are, quoted for a URL, escaped for JSON or Python.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from slurm.secret_names import TOKEN_FOR_USER, USER_AND_PASSWORD, names_secret, passwords_in

MASK = "***"
# Shorter values are in every text; up to the second length a value is one only as a word of its own.
MIN_LENGTH = 4
WORD_LENGTH = 8
# What a variable such as SOME_AUTH may be set to.
HARMLESS = ("true", "false", "none", "null", "basic", "token")
HEADER = re.compile(r"(?P<kind>\b(?:Basic|Bearer|AWS4-HMAC-SHA256)\s+)[A-Za-z0-9+/=_.~-]{8,}")
PARAMETER = re.compile(r"(?P<before>[?&;](?P<name>[A-Za-z][\w.-]*)=)(?P<value>[^&;\s\"'<>]+)")
# Of a signed address: with it anybody may fetch what it points to.
SIGNATURES = ("x-amz-signature", "signature", "sig")


def masked(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which secrets are ``***``.

    Those are the values of keys whose names look like secrets, at any depth, and what
    :func:`without_secrets` finds in other texts. Nothing, ``True`` and ``False`` stay: they tell nothing.
    """
    secrets = _known()
    return {key: _masked(str(key), value, secrets) for key, value in mapping.items()}


def without_secrets(text: str) -> str:
    """A text in which passwords in URLs, signatures, and the values of secret variables are ``***``."""
    return _cleaned(text, _known())


def has_password(uri: str) -> bool:
    """Whether an address tells a password or token, which belongs into a variable."""
    return bool(passwords_in(uri))


def _masked(key: str, value: Any, secrets: re.Pattern[str] | None) -> Any:
    if isinstance(value, bool) or value is None or value == "":
        return value
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), item, secrets) for inner, item in value.items()}
    if names_secret(key):
        return MASK
    if isinstance(value, list | tuple):
        return [_masked("", item, secrets) for item in value]
    return _cleaned(value, secrets) if isinstance(value, str) else value


def _cleaned(text: str, secrets: re.Pattern[str] | None) -> str:
    if secrets is not None:
        text = secrets.sub(MASK, text)
    text = USER_AND_PASSWORD.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
    text = TOKEN_FOR_USER.sub(rf"\g<scheme>{MASK}@", text)
    text = HEADER.sub(rf"\g<kind>{MASK}", text)
    return PARAMETER.sub(_cleaned_parameter, text)


def _cleaned_parameter(match: re.Match[str]) -> str:
    is_secret = names_secret(match["name"]) or match["name"].lower() in SIGNATURES
    return f"{match['before']}{MASK}" if is_secret else match[0]


def _known() -> re.Pattern[str] | None:
    """What finds the values of this process's secret variables; None if there are none."""
    values = {value for name, value in os.environ.items() if names_secret(name)}
    values |= {password for value in os.environ.values() for password in passwords_in(value)}
    forms = {
        form
        for value in map(str.strip, values)
        if len(value) >= MIN_LENGTH and value.lower() not in HARMLESS
        for form in (
            value,
            quote(value, safe=""),
            quote_plus(value),
            json.dumps(value)[1:-1],
            repr(value)[1:-1],
        )
    }
    if not forms:
        return None
    # The longest first: one may be the beginning of another.
    return re.compile("|".join(_pattern(form) for form in sorted(forms, key=len, reverse=True)))


def _pattern(value: str) -> str:
    pattern = re.escape(value)
    return pattern if len(value) >= WORD_LENGTH else rf"(?<!\w){pattern}(?!\w)"
