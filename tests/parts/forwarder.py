"""Forward TCP connections, and have what passes take its time: a network between two machines, for tests.

`python -m tests.parts.forwarder FROM_HOST:PORT TO_HOST:PORT MILLISECONDS`: so long for each way.
"""

from __future__ import annotations

import asyncio
import sys

CHUNK = 65536


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Carry what comes, each piece after the delay, in order; the next is read meanwhile."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            at, piece = await waiting.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
        writer.close()

    writing = asyncio.create_task(write())
    try:
        while piece := await reader.read(CHUNK):
            waiting.put_nowait((loop.time() + delay, piece))
    except ConnectionError:
        pass  # the other end hears of it as an end
    waiting.put_nowait((loop.time() + delay, b""))
    await asyncio.gather(writing, return_exceptions=True)


async def forward(here: str, there: str, delay: float) -> None:
    """Forward until cancelled."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection(*there.rsplit(":", 1))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, onward[1], delay), _carry(onward[0], writer, delay))

    server = await asyncio.start_server(connected, *here.rsplit(":", 1))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(forward(sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000))
