"""The power goes: what was on disk at that moment is opened again, and holds every lead that was answered before."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import struct
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from app.store import open_store
from app.store.sorting import Sorter
from app.store.tables import deliveries, receipts
from tests.faults.scene import Report, Scene, Wanted

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

FAULT = "power cut: the file copied with what was not synced lost, opened again"
FRAME = 4096 + 24  # bytes of SQLite's log: a page and its head
HEAD = 32


def run(wanted: Wanted) -> Report:
    """Stop everything at a random moment, copy what a power cut would leave, go on; and open the copy."""
    with Scene("powercut", wanted) as scene:
        scene.send()
        lost = 0
        for number in scene.rounds():
            scene.wait(scene.dice.uniform(0.3, 1.5))
            copy = scene.folder / f"cut-{number}"
            with stopped(scene):
                promised = set(scene.book.promised())
                lost += _cut(scene, copy)
            scene.faults[FAULT] += 1
            scene.book.wrong += [f"power cut {number}: {one}" for one in faults_of(copy, promised)]
            shutil.rmtree(copy)
        scene.effects["pages of the log that a power cut lost"] = lost
        return scene.report()


@contextmanager
def stopped(scene: Scene) -> Iterator[None]:
    """Hold every process still: what is written cannot change while it is copied."""
    pids = scene.system.all_processes()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        for pid in pids:
            _still(pid)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _still(pid: int) -> None:
    """Wait until every thread has stopped: one in the middle of a write finishes that first."""
    with suppress(OSError):
        while any(
            (task / "stat").read_text().rpartition(")")[2].split()[0] not in "TtZX"
            for task in Path(f"/proc/{pid}/task").iterdir()
        ):
            pass


def _cut(scene: Scene, copy: Path) -> int:
    """Copy the database as a power cut leaves it; gives how many pages of the log were lost."""
    copy.mkdir()
    for name in ("leadwire.db", "leadwire.db-wal"):
        shutil.copy(scene.folder / "var" / name, copy / name)
    for kept in (scene.folder / "var").glob("*.key"):
        shutil.copy(kept, copy)
    return lose(copy / "leadwire.db-wal", scene.page.get("wal_synced"), scene.page.get("wal_end"), scene.dice)


def lose(log: Path, synced: int, end: int, dice: random.Random) -> int:
    """Take back some of the pages that were written after the last sync, each by itself, as a disk may."""
    lost = 0
    with log.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for at in range(max(synced, HEAD), min(end, size), FRAME):
            if dice.random() < 0.5:
                file.seek(at)
                file.write(struct.pack("<I", dice.getrandbits(32)) * (FRAME // 4))
                lost += 1
    return lost


def faults_of(copy: Path, promised: set[str]) -> list[str]:
    """Open a copy as Leadwire would after the power is back; gives what is wrong with it."""
    with sqlite3.connect(copy / "leadwire.db") as connection:
        said = connection.execute("PRAGMA integrity_check").fetchone()[0]
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    connection.close()
    wrong = [] if said == "ok" and not broken else [f"integrity_check says {said}, {len(broken)} rows without parent"]
    store = open_store(f"sqlite:///{copy}/leadwire.db")
    try:
        store.migrate()
        Sorter(store).finish()
        with store.read() as connection:
            there = set(connection.execute(sa.select(receipts.c.id)).scalars())
            owed = set(connection.execute(sa.select(deliveries.c.receipt_id)).scalars())
    finally:
        store.close()
    if missing := promised - there:
        wrong.append(f"{len(missing)} promised leads are gone: {sorted(missing)[:3]}")
    if missing := promised - owed - missing:
        wrong.append(f"{len(missing)} promised leads have no delivery: {sorted(missing)[:3]}")
    return wrong
