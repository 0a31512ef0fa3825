"""The bodies of requests that are no leads: whole before a thread is taken, so that slow senders hold none."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.web.answers import Refused, failure, problem
from app.web.receive import read, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.web.receive import Message, Receive, Send

LARGEST = 2 * 1024 * 1024  # bytes; the API takes 1 MiB and says so itself
OF_A_LEAD = 4  # times a lead's size: the form in which one is mended spells many bytes as three
AT_ONCE = 64 * 1024 * 1024  # bytes that all bodies in one receiver may take
_TOO_LARGE = problem(413, "The body is too large", "Nothing was done. Send less of it.")
_FULL = problem(503, "Too much came at once", "Nothing was done. Send it again.", headers={"Retry-After": "5"})


class Gathering:
    """Reads bodies, as many at once as there is room for."""

    def __init__(self, largest_lead: int) -> None:
        """Take how many bytes a lead may have."""
        self._largest = max(LARGEST, OF_A_LEAD * largest_lead)
        self._room = max(AT_ONCE, self._largest)

    @asynccontextmanager
    async def __call__(self, scope: Message, receive: Receive, send: Send) -> AsyncIterator[Receive | None]:
        """Give what receives the body in one piece; None: the request is answered."""
        held = 0

        async def counted() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            self._room -= size
            held += size
            if self._room < 0:
                raise _FullError
            return message

        try:
            yield await self._whole(scope, counted, send)
        finally:
            self._room += held

    async def _whole(self, scope: Message, receive: Receive, send: Send) -> Receive | None:
        try:
            body = await read(dict(scope["headers"]), receive, self._largest)
        except _FullError:
            await tell(scope, send, _FULL)
            return None
        except Refused as refused:
            await tell(scope, send, _TOO_LARGE if refused.status == 413 else failure(refused))  # noqa: PLR2004
            return None

        async def whole() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        return whole


class _FullError(Exception):
    """There is no room for more."""
