"""Logging: one JSON object a line on standard output, events named `noun.verb`, never a body, key or person."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import Any

import msgspec
import structlog


def configure_logging(*, to_stderr: bool = False, gathered: bool = False) -> None:
    """Write our events as JSON lines, and libraries' warnings without the values they were filled in with.

    Azure's and msal's loggers would otherwise be able to say URLs and headers. `gathered`: what an event loop says in
    one turn is written at its end, because each write lets go of the interpreter while others wait for it.
    """
    lines = _GatheredLines() if gathered else _Lines(to_stderr=to_stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Library()], force=True)


_encode = msgspec.json.Encoder(enc_hook=repr).encode


def _json(event: object, **_: object) -> str:
    return _encode(event).decode()


class _Lines:
    """Writes whole lines; a full disk or a closed pipe there must cost no lead its answer or its delivery."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr

    def msg(self, message: str) -> None:
        """Write a line, or lose it."""
        # ValueError: the stream is closed. A failed flush leaves the text in the buffer, and the next one tries.
        with contextlib.suppress(OSError, ValueError):
            stream = sys.stderr if self._to_stderr else sys.stdout
            stream.write(message + "\n")
            stream.flush()

    debug = info = warning = error = critical = exception = msg


class _GatheredLines(_Lines):
    """Writes at the end of the event loop's turn; what is said outside of one, at once."""

    def __init__(self) -> None:
        super().__init__(to_stderr=False)
        self._said: list[str] = []

    def msg(self, message: str) -> None:
        """Write a line with the others of this turn, or lose it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            super().msg(message)
            return
        if not self._said:
            loop.call_soon(self._write)
        self._said.append(message)

    def _write(self) -> None:
        said, self._said = self._said, []
        super().msg("\n".join(said))

    debug = info = warning = error = critical = exception = msg


class _Library(logging.Handler):
    """Says that a library warned, where and in which words of its own (the template, never what was filled in)."""

    def emit(self, record: logging.LogRecord) -> None:
        logger("library").warning(
            "library.warned",
            library=record.name,
            template=str(record.msg)[:200] if record.args else None,
            where=f"{record.module}:{record.lineno}",
            exception=record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None,
        )


def logger(name: str) -> Any:  # noqa: ANN401  (structlog's loggers are made at run time)
    """Give a logger whose lines carry the room they come from."""
    return structlog.get_logger(room=name)


def where_from(exc: BaseException) -> list[str]:
    """Give the innermost places an exception passed, as `file:line`: unlike its message, they hold nobody's data."""
    frames, trace = [], exc.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return frames[-5:]
