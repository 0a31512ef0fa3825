"""Whether two stores hold the same: rows counted, and a sum of their hashes that does not depend on their order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from app.store.tables import meta, metadata
from app.store.versions import OWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection

AT_ONCE = 2000  # rows in memory
BYTES = 16
_MODULUS = 1 << (8 * BYTES)
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Content:
    """What a table, or a part of it, holds. Parts add up."""

    rows: int = 0
    total: int = 0

    @property
    def digest(self) -> str:
        """Give the sum of the hashes as text."""
        return f"{self.total:0{2 * BYTES}x}"

    def __add__(self, other: Content) -> Content:
        return Content(self.rows + other.rows, (self.total + other.total) % _MODULUS)

    def __sub__(self, other: Content) -> Content:
        return Content(self.rows - other.rows, (self.total - other.total) % _MODULUS)


def everything(table: sa.Table) -> sa.Select[Any]:
    """Select what a copy has to have of a table."""
    rows = sa.select(table)
    return rows.where(meta.c.name.not_in(OWN)) if table is meta else rows


def held(row: Sequence[Any]) -> tuple[Any, ...]:
    """Give a row as PostgreSQL can hold it: SQLite keeps a NUL inside a text, too."""
    return tuple(value.replace("\0", "") if type(value) is str else value for value in row)


def content(connection: Connection, table: sa.Table) -> Content:
    """Read a whole table."""
    return content_of(connection.execute(everything(table), execution_options={"yield_per": AT_ONCE}))


def content_of(rows: Iterable[Sequence[Any]]) -> Content:
    """Count rows, and add up a hash of each: databases order texts each in their own way."""
    number = total = 0
    for row in rows:
        # As the columns' types give it: a truth is no number, and bytes are no text.
        hashed = hashlib.blake2b(_encode(held(row)), digest_size=BYTES).digest()
        total += int.from_bytes(hashed, "big")
        number += 1
    return Content(number, total % _MODULUS)


def counts(connection: Connection) -> dict[str, int]:
    """Count the rows of every table."""
    number = sa.select(sa.func.count())
    return {
        table.name: connection.execute(number.select_from(everything(table).subquery())).scalar_one()
        for table in metadata.sorted_tables
    }
