"""Where each question is asked: a module has `QUESTIONS`, and `measure()` that gives an answer to each of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.rows import Found, Question

MODULES = ("accept", "steady", "disk", "postgres", "lanes", "backlog", "drain", "growth", "start", "size")
ON_DEMAND = ("floors", "soak", "hosts", "hostile")  # they take too long for `make bench`, or more than it may


class Asked(Protocol):
    """What a module of questions has; `measure` raises `MissingError` where a part can't be had."""

    QUESTIONS: Mapping[str, Question]

    def measure(self) -> Iterator[Found]:
        """Answer, each question once."""


def module(name: str) -> Asked:
    """Import a module, when its turn has come."""
    return cast("Asked", import_module(f"bench.{name}"))
