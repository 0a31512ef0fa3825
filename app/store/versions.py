"""Which schema a database has, who can work with it, and whether it may be used at all.

A migration that older programs can live with says so: `compatible_from = "0005"` in its module is the oldest schema
whose programs go on working with the new one. It may add tables, indexes, and columns that are empty or have a server
default. What says nothing ends the older programs' work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.store.tables import meta, metadata

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COMPATIBLE_FROM, COPYING, MOVED = OWN = ("compatible_from", "copying", "moved")  # in `meta`: no copy has them


def version_of(connection: Connection) -> str | None:
    """Give the version of the schema that is there; None: there is none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def oldest_that_fits(connection: Connection) -> str | None:
    """Give the oldest schema whose programs can work with the one that is there; None: it doesn't say."""
    told = connection.execute(sa.select(meta.c.value).where(meta.c.name == COMPATIBLE_FROM)).scalar()
    return None if told is None else bytes(told).decode()


def why_not_used(connection: Connection) -> str | None:
    """Say why nobody should use this database, although its schema is right."""
    rows = connection.execute(sa.select(meta).where(meta.c.name.in_(OWN))).all()
    marks = {row.name: bytes(row.value) for row in rows}
    if MOVED in marks:
        return f"it was copied to {marks[MOVED].decode()}: name that one in [store] url"
    if COPYING in marks and connection.dialect.name != "sqlite":  # the source goes on meanwhile
        return "a store is being copied into it; `leadwire copy-store` finishes that"
    return None


def upgrade(connection: Connection) -> str:
    """Run the migrations that are missing; gives the oldest schema whose programs can work with the result."""
    from alembic import command  # noqa: PLC0415  (slow to import, needed once a version)
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    command.upgrade(config, "head")
    steps = ScriptDirectory.from_config(config).walk_revisions()
    return max(getattr(step.module, COMPATIBLE_FROM, step.revision) for step in steps)
