"""Which names of settings and variables are those of secrets, and which values hold one.

Names are taken apart into words: ``AWS_SECRET_ACCESS_KEY``, ``tracking.apiKey`` and ``PGPASSWORD`` are secret;
``key``, ``author``, ``secretary``, ``tokens_per_second``, ``TOKENIZERS_PARALLELISM``, ``PWD`` and
``AWS_SHARED_CREDENTIALS_FILE``, which is a path, are not. In doubt a name counts as secret: what is hidden for
nothing is missed by somebody, what is shown is known to all.
"""

from __future__ import annotations

import re

# Any word that ends like this, such as the only one of PGPASSWORD.
ENDINGS = ("password", "passwd", "passphrase", "passcode")
WORDS = frozenset(
    (
        "secret",
        "secrets",
        "token",
        "credential",
        "credentials",
        "pass",
        "pwd",
        "auth",
        "authorization",
        "cookie",
        "jwt",
        "bearer",
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "authtoken",
        "accesstoken",
    )
)
# A key by itself is a name for something; one of these makes it a secret. AWS's key id goes with its key.
KEYS = frozenset(
    (
        "api",
        "access",
        "secret",
        "private",
        "signing",
        "encryption",
        "account",
        "storage",
        "shared",
        "master",
        "service",
        "license",
        "auth",
        "session",
        "ssh",
        "subscription",
        "admin",
        "deploy",
    )
)
# Words behind the one that counts, which change nothing about it.
TAILS = frozenset(("value", "string", "base64", "b64", "base", "hash", "old", "new"))
# The present and the last folder of a shell.
FOLDERS = ("PWD", "OLDPWD")
# Capitals that begin a word: apiKey, APIKey.
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
SEPARATOR = re.compile(r"[^A-Za-z0-9]+")
# Between // and @: who logs in, and with what. A port is neither; a password may hold an @ or a / of its own.
USER_AND_PASSWORD = re.compile(
    r"""(?P<scheme>\b[a-z][a-z0-9+.-]{0,20}://)(?P<user>[^\s/?\#:@"'<>]*):(?!\d+[/?\#])(?P<password>[^\s"'<>]+)@""",
    re.IGNORECASE,
)
# A name alone is that of a person for ssh and of a bucket for others, but a token for these.
TOKEN_FOR_USER = re.compile(r"""(?P<scheme>\bhttps?://)(?P<password>[^\s/?\#:@"'<>]+)@""", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Whether a setting, parameter or variable of this name is taken for a secret."""
    if name in FOLDERS:
        return False
    words = [word.lower().rstrip("0123456789") or word for word in _words(name)]
    while (
        len(words) > 1
        and (words[-1] in TAILS or words[-1].isdigit())
        and words[-2:] != ["connection", "string"]
    ):
        words.pop()
    if not words:
        return False
    last, before = words[-1], words[-2:-1]
    if last == "id" and words[-2:-1] == ["key"]:
        last, before = "key", words[-3:-2]
    return (
        last in WORDS
        or last.endswith(ENDINGS)
        or (last == "key" and bool(KEYS.intersection(before)))
        or (last == "string" and before == ["connection"])
    )


def passwords_in(text: str) -> list[str]:
    """The passwords, and the tokens in the place of a user, of all URLs in a text."""
    return [match["password"] for form in (USER_AND_PASSWORD, TOKEN_FOR_USER) for match in form.finditer(text)]


def holds_secret(name: str, value: str) -> bool:
    """Whether a variable is not for the eyes of others: for its name, or for a password in a URL."""
    return bool(value) and (names_secret(name) or bool(passwords_in(value)))


def _words(name: str) -> list[str]:
    return [word for part in SEPARATOR.split(name) for word in HUMP.split(part) if word]
