"""A receiver's end of the committer: what is ready at the same moment goes over in one piece."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import msgspec

from app.log import logger
from app.store.committer import Line
from app.store.engine import BUSY_SECONDS, StoreUnavailable
from app.store.inbox import Inbox, Kept, receipt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.store.arrival import Arrival, Letter, Receipt

log = logger("store")
PATIENCE = BUSY_SECONDS + 2.0  # seconds for an answer
_encode = msgspec.msgpack.Encoder().encode
_decode_kept = msgspec.msgpack.Decoder(list[tuple[str, Kept]]).decode


class Handover:
    """Has arrivals kept: by the committer, or where none answers, by the inbox itself. For one event loop."""

    def __init__(self, address: str | None, inbox: Inbox) -> None:
        """Take the committer's address, if there is one."""
        self._address = address
        self._inbox = inbox
        self.patience = PATIENCE
        self._line: Line | None = None
        self._outgoing: list[Letter] = []
        self._awaited: dict[str, asyncio.Future[Kept]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def put(self, arrival: Arrival) -> Receipt:
        """Have an arrival kept; returns once it is on disk.

        Raises:
            StoreUnavailable: it is not kept (or it is not known).

        """
        if self._address is None:
            return await asyncio.to_thread(self._inbox.put, arrival)
        try:
            kept = await self._ask(self._inbox.letter(arrival))
        except ConnectionError:
            # It may have been kept already: under the same id it is kept once.
            return await asyncio.to_thread(self._inbox.put, arrival)
        if kept.failure is not None:
            raise StoreUnavailable(kept.failure)
        return receipt(arrival, kept.first)

    def close(self) -> None:
        """End the connection; who still waits keeps their own."""
        if self._line is not None:
            self._line.close()

    def _ask(self, one: Letter) -> asyncio.Future[Kept]:
        loop = asyncio.get_running_loop()
        if not self._outgoing:
            loop.call_soon(self._flush)
        self._outgoing.append(one)
        self._awaited[one.id] = answer = loop.create_future()
        return answer

    def _flush(self) -> None:
        if self._line is None:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        ids = [one.id for one in self._outgoing]
        self._line.send(_encode(self._outgoing))
        self._outgoing = []
        # One timer for all of them, and none at all as long as the committer answers what it was sent before.
        asyncio.get_running_loop().call_later(self.patience, self._overdue, ids)

    async def _connect(self) -> None:
        loop, peer = asyncio.get_running_loop(), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.setblocking(False)  # noqa: FBT003  (that is how it is called)
        try:
            peer.connect(f"\0{self._address}")
            transport, line = await loop.create_unix_connection(lambda: Line(self._answered, self._lost), sock=peer)
        except OSError as exc:
            log.error("committer.away", exception=type(exc).__name__)
            peer.close()
            self._lost(None)
            return
        if transport.is_closing():
            return  # somebody else's, or gone already: `_lost` has told who waited
        self._line = line
        self._flush()

    def _answered(self, line: Line, message: bytes) -> None:
        try:
            answers = _decode_kept(message)
        except msgspec.DecodeError:
            line.close()
            return
        for id_, kept in answers:
            answer = self._awaited.pop(id_, None)
            if answer is not None and not answer.done():  # whoever waited may be gone
                answer.set_result(kept)

    def _lost(self, _: Line | None) -> None:
        """Have everybody who waits keep their own."""
        self._line, self._outgoing = None, []
        self._fail(tuple(self._awaited), ConnectionAbortedError())

    def _overdue(self, ids: Iterable[str]) -> None:
        self._fail(ids, StoreUnavailable(f"no answer from the committer for {self.patience:.0f} s"))

    def _fail(self, ids: Iterable[str], exc: Exception) -> None:
        for id_ in ids:
            answer = self._awaited.pop(id_, None)
            if answer is not None and not answer.done():
                answer.set_exception(exc)
