"""Everything that goes wrong in the API, as `application/problem+json`; nothing of a request is repeated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from app.log import logger, where_from
from app.store import StoreUnavailable
from app.web.answers import RETRY_AFTER
from app.web.problem import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask, Response
    from marshmallow import Schema

log = logger("api")
NOT_FOUND = 404
_MISSING = object()
_KINDS = {bool: "true or false", int: "a number", float: "a number", dict: "an object", type(None): "null"}
_NAME = re.compile("[a-z_]{1,40}")  # a name of ours, or a slip of one: anything else may be a person's data
_WORDS = {
    400: ("This is not JSON", "Send one JSON object in UTF-8, with every name in it once."),
    404: ("There is nothing here", "/openapi.json lists every address of the API."),
    405: ("This address does not take that method", "The header Allow says which it takes."),
    413: ("The body is too large", "At most 1 MiB is taken. Nothing was done."),
    415: ("Only JSON is taken", "Send the body with Content-Type: application/json, not compressed."),
}


def register(api: Flask) -> None:
    """Answer every error in the one shape."""

    @api.errorhandler(HTTPException)
    def refused(exc: HTTPException) -> Response:
        return _refused(exc)

    @api.errorhandler(StoreUnavailable)
    def unavailable(exc: StoreUnavailable) -> Response:
        log.error("store.unavailable", reason=str(exc))
        retry = {"Retry-After": RETRY_AFTER}
        return problem(503, "The store can't be used at the moment", "Nothing was done. Ask again.", headers=retry)

    @api.errorhandler(Exception)
    def crashed(exc: Exception) -> Response:
        # The message may hold what was sent: only where it came from is told.
        log.error("request.crashed", exception=type(exc).__name__, frames=where_from(exc))
        return problem(500, "Leadwire has a fault", "It is logged. See whether what you asked for was done.")


def not_possible(status: int, message: str) -> Response:
    """Answer what Operations refused; the message is theirs."""
    return problem(status, "There is no such thing" if status == NOT_FOUND else "This can't be done", message)


def _refused(exc: HTTPException) -> Response:
    invalid = getattr(exc, "exc", None)  # where webargs puts what marshmallow found
    if isinstance(invalid, ValidationError):
        return _invalid(invalid, exc.data["schema"])  # type: ignore[attr-defined]
    status = exc.code or 500
    headers = {name: value for name, value in exc.get_headers() if name in ("Allow", "Location")}
    title, detail = _WORDS.get(status, (exc.name, exc.name))
    return problem(status, title, detail, headers=headers)


def _invalid(invalid: ValidationError, schema: Schema) -> Response:
    [(place, messages)] = invalid.messages_dict.items()
    errors = [
        {"in": "body" if place == "json" else place, **_error(keys, message, invalid.data, schema)}
        for keys, message in _places(messages)
    ]
    detail = "Nothing was done. `errors` names each field, what was found and what is allowed."
    return problem(422, "Something in the request is not allowed", detail, errors=errors)


def _places(messages: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:  # noqa: ANN401
    """Walk marshmallow's tree of messages; gives each fault's keys with its first message."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _places(inner, keys if key == "_schema" else (*keys, key))
    else:
        yield keys, str(messages[0] if isinstance(messages, list) else messages)


def _error(keys: tuple[Any, ...], message: str, data: Any, schema: Schema) -> dict[str, str]:  # noqa: ANN401
    if not keys:
        return {"field": "", "found": _kind(data), "allowed": "one object"}
    name = str(keys[0])
    fields = {one.data_key or key: one for key, one in schema.fields.items()}
    known = fields.get(name)
    if known is None:
        shown = name if _NAME.fullmatch(name) else "(an unknown name)"
        return {"field": shown, "found": "an unknown field", "allowed": ", ".join(fields) or "no field at all"}
    found: Any = data
    for key in keys:
        inside = isinstance(found, dict) and key in found
        found = found[key] if inside or isinstance(found, list) else _MISSING
    allowed = known.metadata.get("allowed", message)
    return {"field": ".".join(map(str, keys)), "found": _kind(found), "allowed": str(allowed)}


def _kind(value: object) -> str:
    """Say what kind of value was found, and nothing of what it says."""
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return _KINDS.get(type(value), "nothing")
