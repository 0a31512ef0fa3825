"""The alerts on their way out, a row a channel.

An alert is claimed before it is sent, so that only a crash between sending and noting it can send it twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import uuid_utils

from app.store.desk import alerts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from app.store.engine import Store

CLAIM_MS = 180_000  # what was claimed and never reported is sent again after this
LONGEST_MS = 25 * 3_600_000  # a time further off was written while the clock was wrong
RECOVERED = "recovered"
UNSENT = alerts.c.sent_at.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """An alert that waits for a channel."""

    id: str
    channel: str
    problem_id: str
    kind: str
    made_at: int
    said: dict[str, Any]
    due_at: int
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Alerts that could not be sent: how many, since when (ms), and after how many tries at most."""

    number: int
    since: int
    tries: int


class AlertQueue:
    """What waits to be sent."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def due(self, *, now: int) -> list[Queued]:
        """Give what may be sent now, the oldest first; of each problem and channel only the first in line."""
        query = sa.select(alerts).where(UNSENT).order_by(alerts.c.made_at, alerts.c.id, alerts.c.channel)
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        first: dict[tuple[str, str], Row[Any]] = {}
        for row in rows:
            first.setdefault((row.problem_id, row.channel), row)
        return [_queued(row) for row in first.values() if not now < row.due_at <= now + LONGEST_MS]

    def claim(self, alert: Queued, *, now: int) -> bool:
        """Make an alert ours for a while; tells whether it still was there to be sent."""
        mine = sa.and_(*_is(alert), UNSENT, alerts.c.due_at == alert.due_at)
        taken = alerts.update().where(mine).values(due_at=now + CLAIM_MS, tries=alerts.c.tries + 1, failure=None)
        with self._store.write() as connection:
            return connection.execute(taken).rowcount > 0

    def sent(self, alert: Queued, *, now: int) -> None:
        """Note that it went out."""
        self._note(alert, sent_at=now, failure=None)

    def failed(self, alert: Queued, *, failure: str, again_at: int) -> None:
        """Note why it did not go out, and when to try again (ms)."""
        self._note(alert, failure=failure, due_at=again_at)

    def _note(self, alert: Queued, **values: object) -> None:
        with self._store.write() as connection:
            connection.execute(alerts.update().where(*_is(alert), UNSENT).values(**values))

    def hurry(self, channel: str, *, now: int) -> None:
        """Have a channel's failed alerts tried at once: it may be mended."""
        waiting = sa.and_(UNSENT, alerts.c.channel == channel, alerts.c.failure.is_not(None), alerts.c.due_at > now)
        with self._store.read() as connection:
            if connection.execute(sa.select(alerts.c.id).where(waiting).limit(1)).first() is None:
                return
        with self._store.write() as connection:
            connection.execute(alerts.update().where(waiting).values(due_at=now))

    def failing(self) -> dict[str, Failing]:
        """Give by channel the alerts that could not be sent so far."""
        number, since, tries = sa.func.count(), sa.func.min(alerts.c.made_at), sa.func.max(alerts.c.tries)
        query = sa.select(alerts.c.channel, number, since, tries).where(UNSENT, alerts.c.failure.is_not(None))
        with self._store.read() as connection:
            rows = connection.execute(query.group_by(alerts.c.channel)).all()
        return {channel: Failing(number=count, since=at, tries=most) for channel, count, at, most in rows}


def queue(
    connection: Connection, problem_id: str, kind: str, said: dict[str, Any], channels: Sequence[str], now: int
) -> list[Queued]:
    """Put an alert in line on each channel, in place of what the channel has not sent yet.

    An end is told only where the opening was.
    """
    id_ = str(uuid_utils.uuid7())
    made = [
        Queued(
            id=id_,
            channel=channel,
            problem_id=problem_id,
            kind=kind,
            made_at=now,
            said=said,
            due_at=now,
            tries=0,
        )
        for channel in channels
        if _superseded(connection, problem_id, channel) or kind != RECOVERED
    ]
    for one in made:
        connection.execute(alerts.insert().values(_row(one)))
    return made


def _row(one: Queued) -> dict[str, object]:
    row = {"id": one.id, "channel": one.channel, "problem_id": one.problem_id, "kind": one.kind}
    return {**row, "made_at": one.made_at, "text": json.dumps(one.said), "due_at": one.due_at}


def _superseded(connection: Connection, problem_id: str, channel: str) -> bool:
    """Take back what a channel hasn't sent of a problem; tells whether it has told of its opening since the last end.

    What was claimed and never reported may have gone out: it counts as told, and is sent again first.
    """
    ours = alerts.c.problem_id == problem_id, alerts.c.channel == channel
    rows = connection.execute(sa.select(alerts).where(*ours).order_by(alerts.c.made_at, alerts.c.id)).all()
    told = False
    for row in rows:
        gone = row.sent_at is not None or (row.tries > 0 and row.failure is None)
        if not gone:
            connection.execute(alerts.delete().where(alerts.c.id == row.id, alerts.c.channel == channel))
        else:
            told = row.kind != RECOVERED
    return told


def _is(alert: Queued) -> tuple[sa.ColumnElement[bool], ...]:
    return alerts.c.id == alert.id, alerts.c.channel == alert.channel


def _queued(row: Row[Any]) -> Queued:
    return Queued(
        id=row.id,
        channel=row.channel,
        problem_id=row.problem_id,
        kind=row.kind,
        made_at=row.made_at,
        said=json.loads(row.text),
        due_at=row.due_at,
        tries=row.tries,
    )
