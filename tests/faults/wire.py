"""A line between Leadwire and another system, on which things happen that happen on lines."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from enum import Enum
from typing import Self

PIECE = 65536
DRIP_SECONDS = 0.02
SILENT_SECONDS = 600  # longer than anybody waits


class Mishap(Enum):
    """What a line does to what goes over it."""

    REFUSED = "nobody answers"
    SILENT = "times out after having written"
    DRIPPING = "answers a byte at a time"
    CUT = "closes in the middle of an answer"
    BEFORE_COMMIT = "connection dropped before COMMIT arrives"
    AFTER_COMMIT = "connection dropped after COMMIT, before its answer"


class Wire:
    """Passes connections on to `target` (a port), in a thread of its own."""

    def __init__(self, target: int) -> None:
        """Listen on a free port."""
        self.target = target
        self.port = 0
        self.mishap: Mishap | None = None
        self.once = False  # the mishap is over after the first time
        self.struck: Counter[str] = Counter()
        self.heard: bytearray | None = None  # a bytearray: keeps what goes over the line, both ways
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up, and listen no more."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self) -> None:
        """Hang up on everybody."""
        self._loop.call_soon_threadsafe(self._hang_up)

    def _hang_up(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._meet, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._happens(Mishap.REFUSED):
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there[1]}
        self._open |= both
        with contextlib.suppress(OSError):
            passing = [self._pass(reader, there[1], asked=True), self._pass(there[0], writer, asked=False)]
            tasks = [asyncio.ensure_future(one) for one in passing]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._open -= both
        for one in both:
            one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asked: bool) -> None:
        while piece := await reader.read(PIECE):
            if self.heard is not None:
                self.heard += piece
            if asked and b"COMMIT" in piece:
                if self._happens(Mishap.BEFORE_COMMIT):
                    return
                if self._happens(Mishap.AFTER_COMMIT):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.05)  # it is committed there meanwhile
                    return
            if not asked and not await self._answered(writer, piece):
                return
            if asked:
                writer.write(piece)
                await writer.drain()

    async def _answered(self, writer: asyncio.StreamWriter, piece: bytes) -> bool:
        """Pass an answer on, as far as the mishap lets it; tells whether the line still stands."""
        if self._happens(Mishap.SILENT):
            await asyncio.sleep(SILENT_SECONDS)
            return False
        if self._happens(Mishap.CUT):
            writer.write(piece[: len(piece) // 2])
            await writer.drain()
            return False
        if self._happens(Mishap.DRIPPING):
            for at in range(len(piece)):
                writer.write(piece[at : at + 1])
                await asyncio.sleep(DRIP_SECONDS if self.mishap is Mishap.DRIPPING else 0)
            return True
        writer.write(piece)
        await writer.drain()
        return True

    def _happens(self, mishap: Mishap) -> bool:
        if self.mishap is not mishap:
            return False
        self.struck[mishap.value] += 1
        if self.once:
            self.mishap = None
        return True
