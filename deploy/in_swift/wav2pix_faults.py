"""Faults of the S3 server, for tests; a part of Swift's own pipeline.

Swift reads its configuration once, these look into a folder at each request: a file ``503`` there makes every
answer one, and a file ``revoked`` names the access keys that Swift no longer knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from swift.common.middleware.tempauth import TempAuth

BUSY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>ServiceUnavailable</Code><Message>Reduce your request rate.</Message></Error>
"""
HEADERS = [("Content-Type", "application/xml"), ("Content-Length", str(len(BUSY)))]


def busy(_global_conf: dict[str, str], **conf: str) -> Callable[[WSGIApplication], WSGIApplication]:
    switch = Path(conf["folder"], "503")

    def wrap(app: WSGIApplication) -> WSGIApplication:
        def answer(env: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if not switch.exists():
                return app(env, start_response)
            # What was sent must be read, or the client sees a broken connection instead of the answer.
            while env["wsgi.input"].read(65536):
                pass
            start_response("503 Service Unavailable", HEADERS)
            return [] if env["REQUEST_METHOD"] == "HEAD" else [BUSY]

        return answer

    return wrap


def auth(global_conf: dict[str, str], **conf: str) -> Callable[[WSGIApplication], WSGIApplication]:
    revoked = Path(conf["folder"], "revoked")

    def wrap(app: WSGIApplication) -> WSGIApplication:
        known = TempAuth(app, global_conf | conf)
        everybody = known.users

        def answer(env: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            gone: list[str] = []
            with suppress(FileNotFoundError):
                gone = revoked.read_text().split()
            known.users = {name: user for name, user in everybody.items() if name not in gone}
            answered: Iterable[bytes] = known(env, start_response)
            return answered

        return answer

    return wrap
