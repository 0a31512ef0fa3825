"""The reference: an empty Flask route that answers JSON, on the same server with the same processes."""

from __future__ import annotations

import sys

from flask import Flask


def make() -> Flask:
    """Make the application."""
    app = Flask(__name__)

    @app.post("/empty")
    def empty() -> dict[str, str]:
        return {"status": "accepted"}

    return app


if __name__ == "__main__":
    import multiprocessing

    from granian import Granian
    from granian.constants import Interfaces

    multiprocessing.set_start_method("spawn", force=True)
    Granian(
        "bench.empty:make",
        port=int(sys.argv[1]),
        interface=Interfaces.WSGI,
        factory=True,
        workers=2,
        blocking_threads=128,
        websockets=False,
        log_enabled=False,
    ).serve()
