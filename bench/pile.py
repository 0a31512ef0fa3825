"""Stores made for a measurement: a pile of waiting leads, made in seconds of one real lead; and copies."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from app.store import open_store
from app.store.sealing import LEAD
from app.store.sorting import Sorter
from app.store.views import Views
from scripts.seed_leads import id_at
from tests.parts.arrivals import arrival, keep

if TYPE_CHECKING:
    from pathlib import Path

FILES = tuple(f"file-{number}" for number in range(4))
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :more) "
NEW_ID = "substr(:id, 1, 24) || printf('%012x', i)"


def pile_up(database: Path, *, leads: int) -> None:
    """Add so many leads to a SQLite store that nobody has open, due at the four files since now."""
    now = round(time.time() * 1000)
    first = id_at(now, 0)
    store = open_store(f"sqlite:///{database}")
    store.migrate()
    keep(store, arrival(at=now, to=FILES, id=first))
    Sorter(store).finish()
    text = Views(store).show(first)["lead"]
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, key in (("receipts", "id"), ("deliveries", "receipt_id")):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(NEW_ID if column == key else column for column in columns)
            query = f"INSERT INTO {table} {COUNT} SELECT {values} FROM n, {table} WHERE {key} = :id ORDER BY i"
            connection.execute(query, {"id": first, "more": leads - 1})
        ids = [f"{first[:24]}{number:012x}" for number in range(1, leads)]
        seals = ((*store.keyring.seal(json.dumps(text).encode(), LEAD + id_.encode()), id_) for id_ in ids)
        connection.executemany("UPDATE receipts SET sealed = ?, data_key = ? WHERE id = ?", seals)
    store.close()


def copy_store(source: Path, target: Path) -> None:
    """Put a copy in the target's place, with what is still in the write-ahead logs of either taken care of."""
    for ending in ("", "-wal", "-shm"):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as from_, closing(sqlite3.connect(target)) as to:
        from_.backup(to)
    shutil.copy(f"{source}.key", f"{target}.key")
