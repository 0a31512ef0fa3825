"""`/leads`: the address that a publisher pastes into Partner Center.

An ASGI application of its own beside Flask's, because it needs nothing of a framework, its answers are what the
marketplace waits for, and a sender that is slow or silent holds no thread.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from app.lead import Envelope
from app.store.key_uses import KeyUses
from app.web.answers import Answer, Refused, answer, failure, problem
from app.web.keys import Keys, UseNotes
from app.web.limits import Limit, Strangers, caller, too_many, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from app.wiring import Wiring

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

PATHS = ("/leads", "/leads/")
METHODS = ("GET", "HEAD", "POST")
READ_WITHIN = 20.0  # seconds for a whole body
WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class Receiver:
    """Takes leads."""

    def __init__(self, wiring: Wiring) -> None:
        """Take the wiring; the store is touched first by the first lead."""
        self._intake = wiring.intake
        self._keys = Keys(wiring.settings.sources)
        self._uses = UseNotes(KeyUses(wiring.store), now=wiring.now)
        self._limit = wiring.settings.server.max_body_bytes
        self._proxies = wiring.settings.server.trusted_proxies
        self._strangers = Strangers(wiring.settings.limits.wrong_keys_a_minute)
        self._pace = Limit(wiring.settings.limits.leads_a_minute)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            told = await self._answer(scope, receive)
        except Exception as exc:  # noqa: BLE001  (whatever it is, the sender must not be told that the lead is kept)
            told = failure(exc)
        await tell(scope, send, told)

    async def _answer(self, scope: Message, receive: Receive) -> Answer:
        if scope["method"] not in METHODS:
            raise Refused(405, {"Allow": ", ".join(METHODS)})
        headers = dict(scope["headers"])
        given = _given_key(scope["query_string"], headers)
        key = self._keys.find(given)
        if key is None:
            self._uses.tried(given)
            return self._strangers.answer(caller(scope, self._proxies))
        if key.networks and not within(caller(scope, self._proxies), key.networks):
            return problem(403, "Not from there", "[sources] networks does not have this address. Nothing was kept.")
        try:
            if scope["method"] != "POST":
                return answer(200, {"status": "ready", "detail": "This address takes leads by POST. Nothing was kept."})
            if wait := self._pace.take(key.digest):
                return too_many(wait, "[limits] leads_a_minute allows no more with this key. Nothing was kept.")
            try:
                came = await read(headers, receive, self._limit)
            except GoneError as gone:
                if not gone.came:
                    raise
                came = gone.came  # of senders that break off few come again, and the lead may be whole
            body = _unpacked(came, headers, self._limit)
            return await self._taken(body, headers, source=key.source)
        finally:  # after the lead is on disk, so that this write never stands before it
            self._uses.used(key)

    async def _taken(self, body: bytes, headers: dict[bytes, bytes], *, source: str) -> Answer:
        kind = headers.get(b"content-type", b"").decode("latin-1")
        taken = await self._intake.receive(Envelope(body=body, content_type=kind), source=source)
        rejection, receipt = taken.rejection, taken.receipt
        if rejection is None:
            return answer(202, {"id": receipt.id, "status": receipt.status, "test": taken.test})
        return problem(
            rejection.status,
            rejection.title,
            rejection.detail,
            errors=rejection.errors,
            quarantine_id=receipt.id,
        )


class GoneError(Refused):
    """Whoever asked is gone, or is there still and sent chunks that are none; `came` is what came of the body."""

    def __init__(self, came: bytes) -> None:
        """Take what came."""
        super().__init__(400)
        self.came = came


async def tell(scope: Message, send: Send, told: Answer) -> None:
    """Send an answer."""
    headers = [(name.lower().encode(), value.encode()) for name, value in told.headers.items()]
    await send({"type": "http.response.start", "status": told.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else told.body})


def _given_key(query: bytes, headers: dict[bytes, bytes]) -> str:
    if code := _code(query):
        return code
    kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


@lru_cache(maxsize=64)  # a source's URL is always the same; what is asked for is no secret to who asks
def _code(query: bytes) -> str:
    return parse_qs(query.decode("latin-1"), errors="replace").get("code", [""])[0]


async def read(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Read the body once.

    Raises:
        Refused: 413, or 408 of a sender that is too slow.
        GoneError: the body ends before it should.

    """
    told = headers.get(b"content-length")
    if told is not None and told.isdigit() and int(told) > limit:
        raise Refused(413)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_WITHIN):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError(b"".join(pieces))
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limit:
                    raise Refused(413)
                if not message.get("more_body"):
                    return b"".join(pieces)
    except TimeoutError:
        raise Refused(408) from None


def _unpacked(body: bytes, headers: dict[bytes, bytes], limit: int) -> bytes:
    """Unpack what is compressed, up to the same limit.

    Raises:
        Refused: 413.

    """
    packed = headers.get(b"content-encoding")
    bits = WINDOW_BITS.get(packed.strip().lower()) if packed else None
    if bits is None:
        return body
    unpacker = zlib.decompressobj(bits)
    try:
        unpacked = unpacker.decompress(body, limit + 1)
    except zlib.error:
        return body  # it only claims to be packed: read it as it is
    if len(unpacked) > limit:
        raise Refused(413)
    return unpacked if unpacker.eof else body
