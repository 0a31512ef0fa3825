"""Logging: one JSON object a line on standard output, events named `noun.verb`, never a body, key or person."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog


def configure_logging(stream: TextIO = sys.stdout) -> None:
    """Write our events to `stream` as JSON lines, and libraries' warnings without the values they were filled in with.

    Azure's and msal's loggers would otherwise be able to say URLs and headers.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Library()], force=True)


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
