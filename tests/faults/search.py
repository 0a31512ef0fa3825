"""The person whose leads were sent is looked for in everything a run wrote but the destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import psycopg
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.parts.canary import Canary

PIECE = 1 << 23  # bytes that are looked through at once: stores grow larger than memory
SHARED = 4096  # bytes that a piece has of the one before, so that nothing is cut in two


def traces(person: Canary, folders: Iterable[Path], *, but: Path, url: str = "") -> list[str]:
    """Name what can be read of the person, and where.

    Args:
        person: whom to look for.
        folders: every file in them is read.
        but: the file that is a destination; the person must be in it, or the search would prove nothing.
        url: of a PostgreSQL database whose rows are read as well.

    """
    found = [
        f"{path} shows {', '.join(names)}"
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != but and (names := in_file(person, path))
    ]
    if url:
        found += [f"the rows of {table} show {', '.join(names)}" for table, names in _in_rows(person, url)]
    if not in_file(person, but):
        found.append(f"{but} does not have the person who was sent")
    return found


def in_file(person: Canary, path: Path) -> list[str]:
    """Name what of the person is in a file."""
    with path.open("rb") as file:
        return sorted({name for piece in _pieces(file) for name in person.found(piece)})


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    before = b""
    while piece := file.read(PIECE):
        yield before + piece
        before = (before + piece)[-SHARED:]


def _in_rows(person: Canary, url: str) -> Iterator[tuple[str, list[str]]]:
    """Read every table as PostgreSQL dumps it, bytes in hexadecimal."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    tables = sa.inspect(engine).get_table_names()
    engine.dispose()
    with psycopg.connect(url) as connection:
        for table in tables:
            named = psycopg.sql.SQL("COPY {} TO STDOUT").format(psycopg.sql.Identifier(table))
            with connection.cursor().copy(named) as rows:
                names = sorted({name for piece in _together(rows) for name in person.found(piece)})
            if names:
                yield table, names


def _together(rows: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Put rows together into pieces of a size that is worth looking through."""
    piece = bytearray()
    for row in rows:
        piece += row
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
