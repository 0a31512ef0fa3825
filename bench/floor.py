"""The way in with parts taken out, on Leadwire's own server: `python -m bench.floor PORT nothing|unkept`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from app.log import configure_logging
from app.store.inbox import receipt
from app.web.receive import Receiver
from app.wiring import Wiring

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"21")]


async def nothing(_: Any, receive: Any, send: Any) -> None:
    """Read the body and answer."""
    await receive()
    await send({"type": "http.response.start", "status": 202, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b'{"status":"accepted"}'})


class Nowhere:
    """Has every arrival written down and sealed, and keeps none."""

    def __init__(self, inbox: Any) -> None:
        """Take the inbox, which knows how."""
        self._inbox = inbox

    async def put(self, arrival: Any) -> Any:
        """Say that it is new."""
        self._inbox.letter(arrival)
        return receipt(arrival, None)


def make(kind: str) -> Any:
    """Make the application."""
    if kind == "nothing":
        return nothing
    configure_logging(gathered=True)
    wiring = Wiring.from_file()
    wiring.store.migrate()
    receiver = Receiver(wiring)
    receiver._intake = replace(wiring.intake, keeper=Nowhere(wiring.inbox))  # noqa: SLF001  (what is taken out)
    return receiver


if __name__ == "__main__":
    import multiprocessing

    from granian import Granian
    from granian.constants import Interfaces

    multiprocessing.set_start_method("fork", force=True)
    server = Granian("floor", port=int(sys.argv[1]), interface=Interfaces.ASGINL, workers=2, log_enabled=False)
    server.serve(target_loader=lambda: make(sys.argv[2]), wrap_loader=False)
