"""One committer for all receivers of a host: whatever waits when it comes round is kept in one transaction.

Receivers that commit by themselves take turns, with few leads in each commit. Here they hand over through a socket in
Linux's abstract namespace, which leaves no file behind whoever dies; the committer sees that the other end runs under
its own user. Where no committer answers, a receiver keeps its leads by itself.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
import sys
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, cast

import msgspec

from app.log import logger, where_from
from app.store.arrival import Letter
from app.store.inbox import Inbox, Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Group = Sequence[tuple["Line", Letter]]

log = logger("store")
ADDRESS = "LEADWIRE_COMMITTER"  # the environment variable by which receivers find it
MAX_GROUP = 200  # letters a transaction
AVAILABLE = sys.platform == "linux"

_encode = msgspec.msgpack.Encoder().encode
_decode_letters = msgspec.msgpack.Decoder(list[Letter]).decode


class Line(asyncio.Protocol):
    """One end of a connection: whole messages, each with its length in front."""

    def __init__(self, take: Callable[[Line, bytes], None], ended: Callable[[Line], None]) -> None:
        """Take what is to be done with each message, and at the end."""
        self._take = take
        self._ended = ended
        self._given = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the other end belongs to somebody else."""
        self._transport = cast("asyncio.Transport", transport)
        if _user_of(transport.get_extra_info("socket")) != os.geteuid():
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on each message that is complete."""
        given = self._given + data if self._given else data
        while len(given) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(given)[0]
            if len(given) < end:
                break
            self._take(self, given[_LENGTH.size : end])
            given = given[end:]
        self._given = given

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's shape)
        """Say so."""
        self._ended(self)

    def send(self, message: bytes) -> None:
        """Send one message; to an end that is gone, nothing."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_LENGTH.pack(len(message)) + message)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()


_LENGTH = struct.Struct(">I")


class Committer:
    """Keeps what receivers hand over, one group after the other, in a thread of its own."""

    def __init__(self, inbox: Inbox) -> None:
        """Open the socket; nothing is read before `start`."""
        self._inbox = inbox
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.address = f"leadwire-{secrets.token_hex(16)}"
        self._listener.bind(f"\0{self.address}")
        self._listener.listen()
        self._waiting: list[tuple[Line, Letter]] = []

    def start(self) -> None:
        """Begin, until the process ends."""
        threading.Thread(target=asyncio.run, args=(self.run(),), name="committer", daemon=True).start()

    async def run(self) -> None:
        """Keep what comes, until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(self._welcome, sock=self._listener)
        async with server:
            await server.serve_forever()

    def _welcome(self) -> Line:
        return Line(self._taken, lambda _: None)

    def _taken(self, line: Line, message: bytes) -> None:
        try:
            letters = _decode_letters(message)
        except msgspec.DecodeError as exc:
            log.error("committer.refused", exception=type(exc).__name__)
            line.close()
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)  # with whatever else came at the same moment
        self._waiting.extend((line, one) for one in letters)

    def _begin(self) -> None:
        """Have what came kept, in this thread: while the disk writes, the next ones gather in their sockets."""
        group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)
        self._tell(group, self._kept(group))

    def _kept(self, group: _Group) -> Sequence[Kept]:
        try:
            return self._inbox.keep([letter for _, letter in group])
        except Exception as exc:  # noqa: BLE001  (whoever waits for these must hear of it)
            log.error("committer.crashed", exception=type(exc).__name__, frames=where_from(exc))
            return [Kept(failure=type(exc).__name__)] * len(group)

    def _tell(self, group: _Group, kept: Sequence[Kept]) -> None:
        answers: dict[Line, list[tuple[str, Kept]]] = defaultdict(list)
        for (line, letter), one in zip(group, kept, strict=True):
            answers[line].append((letter.id, one))
        for line, told in answers.items():
            line.send(_encode(told))


def _user_of(peer: socket.socket) -> int:
    """Tell under which user the other end runs, as the kernel knows it."""
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(user)
