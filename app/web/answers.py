"""Answers as no framework needs to know them; errors in one shape, `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from app.log import logger, where_from
from app.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logger("web")
JSON = "application/json"
PROBLEM = "application/problem+json"
RETRY_AFTER = "5"  # seconds
DETAILS = {
    400: "The request broke off or is not well-formed HTTP.",
    404: "There is nothing here. Leads go to /leads?code=KEY.",
    405: "This address does not take that method.",
    408: "The body did not come in time. Nothing was kept.",
    413: "The body is larger than [server] max_body_bytes allows. Nothing was kept.",
}
_TITLES = {
    400: "Bad Request",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Request Entity Too Large",
}
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """What a request is answered with."""

    status: int
    headers: dict[str, str]
    body: bytes


class Refused(Exception):  # noqa: N818  (said to who asked)
    """A request that can't be answered with what was asked for: 400, 405, 408, 413."""

    def __init__(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """Take the status, and headers that go with it."""
        super().__init__(status)
        self.status = status
        self.headers = headers


def answer(status: int, document: object, *, kind: str = JSON, headers: Mapping[str, str] | None = None) -> Answer:
    """Make an answer in JSON."""
    body = _encode(document)
    told = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return Answer(status, told | headers if headers else told, body)  # type: ignore[operator]


def problem(status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Answer:  # noqa: ANN401
    """Make a problem; `more` are further members, such as `errors`."""
    document = {"type": "about:blank", "status": status, "title": title, "detail": detail, **more}
    return answer(status, document, kind=PROBLEM, headers=headers)


def failure(exc: Exception) -> Answer:
    """Make the answer to what went wrong; no message repeats what was sent."""
    if isinstance(exc, StoreUnavailable):
        log.error("store.unavailable", reason=str(exc))
        return _trouble("Leadwire can't keep leads at the moment", "Nothing was kept. Send it again.")
    if isinstance(exc, Refused):
        return problem(exc.status, _TITLES[exc.status], DETAILS[exc.status], headers=exc.headers)
    # The message may hold what was sent: only where it came from is told.
    log.error("request.crashed", exception=type(exc).__name__, frames=where_from(exc))
    return _trouble("Leadwire has a fault", "It is logged. Nothing was kept. Send it again.")


def _trouble(title: str, detail: str) -> Answer:
    return problem(503, title, detail, headers={"Retry-After": RETRY_AFTER})
