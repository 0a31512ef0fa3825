"""`/leads`: the address that a publisher pastes into Partner Center."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from app.lead import Envelope
from app.store.key_uses import KeyUses
from app.web.keys import Keys, UseNotes
from app.web.problem import problem

if TYPE_CHECKING:
    from app.intake import Intake
    from app.wiring import Wiring

WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def make_blueprint(wiring: Wiring) -> Blueprint:
    """Make the blueprint; keys are compared as hashes, so that the time says nothing about them."""
    blueprint = Blueprint("receive", __name__)
    keys = Keys(wiring.settings.sources)
    uses = UseNotes(KeyUses(wiring.store), now=wiring.now)
    limit = wiring.settings.server.max_body_bytes

    @blueprint.route("/leads", methods=["GET", "POST"])  # HEAD comes with GET
    @blueprint.route("/leads/", methods=["GET", "POST"])
    def leads() -> Response:
        key = keys.find(_given_key())
        if key is None:
            return problem(401, "No key, or a wrong one", _NO_KEY, headers={"WWW-Authenticate": "Bearer"})
        try:
            return _taken(wiring.intake, source=key.source, limit=limit)
        finally:  # after the lead is on disk, so that this write never stands before it
            uses.used(key)

    return blueprint


def _taken(intake: Intake, *, source: str, limit: int) -> Response:
    """Take in the request's body for a source, or say that this is the address for it."""
    if request.method != "POST":
        return _answer(200, {"status": "ready", "detail": "This address takes leads by POST. Nothing was kept."})
    envelope = Envelope(body=_body(limit), content_type=request.headers.get("Content-Type", ""))
    answer = intake.receive(envelope, source=source)
    rejection = answer.rejection
    if rejection is not None:
        return problem(
            rejection.status,
            rejection.title,
            rejection.detail,
            errors=rejection.errors,
            quarantine_id=answer.receipt.id,
        )
    return _answer(202, {"id": answer.receipt.id, "status": answer.receipt.status, "test": answer.test})


_NO_KEY = "Use the whole URL that Leadwire printed: it ends in ?code= and the key. Nothing was kept."


def _given_key() -> str:
    authorization = request.headers.get("Authorization", "")
    kind, _, token = authorization.partition(" ")
    return request.args.get("code") or (token.strip() if kind.lower() == "bearer" else "")


def _body(limit: int) -> bytes:
    """Read the body once; what is compressed is unpacked, up to the same limit.

    The server's stream is read directly: it ends where the body does, also for a chunked one, whose size no header
    tells and which Werkzeug would cut off at its own limit.

    Raises:
        RequestEntityTooLarge: 413, packed or unpacked.

    """
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge
    stream, pieces, size = request.environ["wsgi.input"], [], 0
    while size <= limit and (piece := stream.read(limit + 1 - size)):
        pieces.append(piece)
        size += len(piece)
    body = b"".join(pieces)
    if size > limit:
        raise RequestEntityTooLarge
    bits = WINDOW_BITS.get(request.headers.get("Content-Encoding", "").strip().lower())
    if bits is None:
        return body
    unpacker = zlib.decompressobj(bits)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error:
        return body  # it only claims to be packed: read it as it is
    if len(unpacked) > limit:
        raise RequestEntityTooLarge
    return unpacked if unpacker.eof else body


def _answer(status: int, document: dict[str, object]) -> Response:
    return Response(json.dumps(document), status, {"Cache-Control": "no-store"}, mimetype="application/json")
