"""Reading requests strictly: JSON in UTF-8 with nothing said twice, and a query likewise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from flask import Request

LARGEST_BODY = 1024 * 1024  # bytes


class Parser(FlaskParser):
    """webargs' parser with our own readers."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {}  # noqa: RUF012  (so in webargs): schemas say it themselves

    def load_json(self, req: Request, schema: Schema) -> Any:  # noqa: ANN401
        """Read the body; nothing is an object with nothing in it.

        Raises:
            UnsupportedMediaType: 415, it is not declared as JSON.
            BadRequest: 400, it is no JSON, or says something twice.
            RequestEntityTooLarge: 413.

        """
        del schema
        body = _body(req)
        if not body and not req.mimetype:
            return {}
        if req.mimetype != "application/json" or req.headers.get("Content-Encoding", "identity") != "identity":
            raise UnsupportedMediaType
        try:
            return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise BadRequest from None

    def load_querystring(self, req: Request, schema: Schema) -> Any:  # noqa: ANN401
        """Read the query.

        Raises:
            ValidationError: a parameter is given twice.

        """
        del schema
        twice = [name for name, values in req.args.lists() if len(values) > 1]
        if twice:
            raise ValidationError({name: ["it once"] for name in twice})
        return req.args.to_dict() or missing


def _body(req: Request) -> bytes:
    """Read the body up to the limit; Werkzeug takes a chunked one, whose size no header tells, for none."""
    size = req.content_length
    if size is None and not _is_unmeasured(req):
        return b""
    most = LARGEST_BODY + 1 if size is None else size
    if most > LARGEST_BODY + 1:
        raise RequestEntityTooLarge
    stream, pieces, left = req.environ["wsgi.input"], [], most
    while left and (piece := stream.read(left)):
        pieces.append(piece)
        left -= len(piece)
    body = b"".join(pieces)
    if len(body) > LARGEST_BODY:
        raise RequestEntityTooLarge
    return body


def _is_unmeasured(req: Request) -> bool:
    """Whether the server's stream ends where a body does whose size was not told."""
    return "Transfer-Encoding" in req.headers or req.environ.get("SERVER_PROTOCOL") == "HTTP/2"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        msg = "a name stands twice in an object"
        raise ValueError(msg)
    return read


def _no_number(name: str) -> float:
    msg = f"{name} is not JSON"
    raise ValueError(msg)
