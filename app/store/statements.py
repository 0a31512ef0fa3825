"""What each database does in its own way for the store: statements of many rows, and waking workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection


class Wakeup(Protocol):
    """How a worker hears at once that something is waiting."""

    def wait(self, timeout: float) -> None:
        """Sleep until something came or `timeout` seconds are over."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


def driver_of(connection: Connection) -> Any:  # noqa: ANN401  (the drivers share no typed base)
    """Give the driver's own connection inside a transaction: what leads wait for needs nothing in between."""
    return connection.connection.driver_connection


class Many(Protocol):
    """Inserts rows, each a value a column, in one statement; gives how many were written or changed."""

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run it."""
        ...


class Among(Protocol):
    """Finds the rows in which a column has one of these values, as plain tuples."""

    def __call__(self, connection: Connection, values: Collection[Any]) -> Sequence[tuple[Any, ...]]:
        """Run it."""
        ...
