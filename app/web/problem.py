"""One shape for everything that goes wrong: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from app.log import logger, where_from
from app.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logger("web")
RETRY_AFTER = "5"  # seconds


def problem(status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:  # noqa: ANN401
    """Make a problem response; `more` are further members, such as `errors`."""
    document = {"type": "about:blank", "status": status, "title": title, "detail": detail, **more}
    return Response(
        json.dumps(document),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        mimetype="application/problem+json",
    )


def register(app: Flask) -> None:
    """Answer every error in the one shape; no message repeats what was sent."""

    @app.errorhandler(StoreUnavailable)
    def unavailable(exc: StoreUnavailable) -> Response:
        log.error("store.unavailable", reason=str(exc))
        return problem(
            503,
            "Leadwire can't keep leads at the moment",
            "Nothing was kept. Send it again.",
            headers={"Retry-After": RETRY_AFTER},
        )

    @app.errorhandler(HTTPException)
    def refused(exc: HTTPException) -> Response:
        headers = {name: value for name, value in exc.get_headers() if name in ("Allow", "Retry-After", "Location")}
        return problem(exc.code or 500, exc.name, _DETAILS.get(exc.code or 500, exc.name), headers=headers)

    @app.errorhandler(Exception)
    def crashed(exc: Exception) -> Response:
        # The message may hold what was sent: only where it came from is told.
        log.error("request.crashed", exception=type(exc).__name__, frames=where_from(exc))
        return problem(
            503,
            "Leadwire has a fault",
            "It is logged. Nothing was kept. Send it again.",
            headers={"Retry-After": RETRY_AFTER},
        )


_DETAILS = {
    400: "The request broke off or is not well-formed HTTP.",
    404: "There is nothing here. Leads go to /leads?code=KEY.",
    405: "This address does not take that method.",
    413: "The body is larger than [server] max_body_bytes allows. Nothing was kept.",
}
