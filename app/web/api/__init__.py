"""`/api/v1` and `/openapi.json`: what the console can do, for machines.

It is a Flask application of its own that is made at the first request for it: receivers that only take leads never
pay for its parts, and nothing of it stands before `/leads`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Flask

    from app.wiring import Wiring

PREFIX = "/api/v1"
DOCUMENT = "/openapi.json"


def register(app: Flask, wiring: Wiring) -> None:
    """Let the API answer its own addresses in `app`; to be called before proxies' headers are read around it."""
    app.wsgi_app = _Beside(app.wsgi_app, wiring)  # type: ignore[method-assign]


class _Beside:
    """Gives the API its requests, and everything else to whom it was for."""

    def __init__(self, others: WSGIApplication, wiring: Wiring) -> None:
        self._others = others
        self._wiring = wiring
        self._api: WSGIApplication | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if (path.startswith(PREFIX) and path[len(PREFIX) : len(PREFIX) + 1] in ("", "/")) or path == DOCUMENT:
            return self._made()(environ, start_response)
        return self._others(environ, start_response)

    def _made(self) -> WSGIApplication:
        if self._api is None:
            with self._lock:
                if self._api is None:
                    from app.web.api.application import make_api  # noqa: PLC0415  (see the module's first lines)

                    self._api = make_api(self._wiring)
        return self._api
