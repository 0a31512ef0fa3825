"""Who may come in: rows of sessions, of wrong passwords, and of the API's tokens. Secrets are kept as hashes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.store.auditing import audited, record
from app.store.desk import sessions, sign_in_tries, tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Row

    from app.store.auditing import Who
    from app.store.engine import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """Somebody who is signed in; times in milliseconds."""

    key: bytes
    actor: str
    role: str
    proof: bytes | None
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token of the API; times in milliseconds."""

    id: str
    name: str
    role: str
    hash: bytes
    created_at: int
    created_by: str


class AccessRows:
    """The rows."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    def is_known(self, mark: bytes, *, since: int) -> bool:
        """Whether somebody signed in under this mark since (ms)."""
        query = sa.select(sign_in_tries.c.address).where(
            sign_in_tries.c.address == mark, sign_in_tries.c.last_at >= since
        )
        with self._store.read() as connection:
            return connection.execute(query).first() is not None

    def wait_until(self, addresses: tuple[bytes, ...], *, now: int, longest: int) -> int:
        """Until when (ms) the next try of any of these must wait; 0: not at all."""
        query = sa.select(sa.func.max(sign_in_tries.c.wait_until)).where(
            sign_in_tries.c.address.in_(addresses), _waiting(now, longest)
        )
        with self._store.read() as connection:
            return connection.execute(query).scalar() or 0

    def count_try(
        self, address: bytes, *, wait_of: Callable[[int], int], forget_before: int, longest: int, now: int
    ) -> tuple[bool, int]:
        """Count one more try, anew if the latest was before `forget_before` (ms), unless there is still a wait.

        `wait_of` says how long (ms) so many tries make wait. Gives whether this one is allowed, and until when (ms)
        the next must wait, 0 not at all.
        """
        row = self._store.insert(sign_in_tries).values(address=address, failures=1, last_at=now, wait_until=0)
        again = sa.case((sign_in_tries.c.last_at < forget_before, 1), else_=sign_in_tries.c.failures + 1)
        count = row.on_conflict_do_update(
            index_elements=["address"],
            set_={"failures": again, "last_at": row.excluded.last_at},
            where=sa.not_(_waiting(now, longest)),
        ).returning(sign_in_tries.c.failures)
        mine = sign_in_tries.c.address == address
        with self._store.write() as connection:
            failures = connection.execute(count).scalar()
            if failures is None:
                return False, connection.execute(sa.select(sign_in_tries.c.wait_until).where(mine)).scalar_one()
            wait = wait_of(failures)
            until = now + wait if wait else 0
            connection.execute(sign_in_tries.update().where(mine).values(wait_until=until))
        return True, until

    def tell_of_wait(self, *, now: int, who: Who) -> None:
        """Leave an audit row: so many tries were wrong that the next must wait."""
        record(self._store, "sign-in-refused", "console", now=now, who=who)

    def enter(
        self, row: SessionRow, *, known: bytes | None, forgiven: bytes | None, forget_before: int, who: Who
    ) -> None:
        """Keep a new session; forget wrong tries under `forgiven`, and of others what is older than `forget_before`.

        `known` is the mark under which somebody has now signed in. Sessions that have ended are deleted.
        """
        now, tries = row.created_at, sign_in_tries
        gone = sa.or_(tries.c.last_at < forget_before, tries.c.address == forgiven)
        with audited(self._store) as (connection, note):
            connection.execute(sessions.delete().where(sessions.c.expires_at <= now))
            connection.execute(tries.delete().where(gone))
            if known is not None:
                seen = self._store.insert(tries).values(address=known, failures=0, last_at=now, wait_until=0)
                connection.execute(seen.on_conflict_do_update(index_elements=["address"], set_={"last_at": now}))
            values = {name: getattr(row, name) for name in SessionRow.__slots__}
            connection.execute(sessions.insert().values(**values))
            note("sign-in", "console", now=now, who=who)

    def session(self, key: bytes, *, now: int) -> Row[Any] | None:
        """Give a session that has not ended."""
        query = sa.select(sessions).where(sessions.c.key == key, sessions.c.expires_at > now)
        with self._store.read() as connection:
            return connection.execute(query).first()

    def leave(self, key: bytes, *, now: int, who: Who) -> None:
        """End a session."""
        with audited(self._store) as (connection, note):
            if connection.execute(sessions.delete().where(sessions.c.key == key)).rowcount:
                note("sign-out", "console", now=now, who=who)

    def tokens(self) -> list[Row[Any]]:
        """Give every token, the latest first."""
        with self._store.read() as connection:
            return list(connection.execute(sa.select(tokens).order_by(tokens.c.created_at.desc(), tokens.c.id)))

    def token(self, hash_: bytes) -> Row[Any] | None:
        """Give the token with this hash, unless it is revoked."""
        query = sa.select(tokens).where(tokens.c.hash == hash_, tokens.c.revoked_at.is_(None))
        with self._store.read() as connection:
            return connection.execute(query).first()

    def add_token(self, row: TokenRow, *, who: Who) -> None:
        """Keep a new token."""
        values = {name: getattr(row, name) for name in TokenRow.__slots__}
        with audited(self._store) as (connection, note):
            connection.execute(tokens.insert().values(**values))
            note("token-made", f"{row.id} {row.name} {row.role}", now=row.created_at, who=who)

    def token_used(self, id_: str, *, now: int) -> None:
        """Note when a token was last used."""
        with self._store.write() as connection:
            connection.execute(tokens.update().where(tokens.c.id == id_).values(last_used_at=now))

    def revoke(self, id_: str, *, now: int, who: Who) -> bool:
        """End a token; tells whether it was live."""
        live = sa.and_(tokens.c.id == id_, tokens.c.revoked_at.is_(None))
        with audited(self._store) as (connection, note):
            changed = connection.execute(tokens.update().where(live).values(revoked_at=now)).rowcount > 0
            if changed:
                note("token-revoked", id_, now=now, who=who)
        return changed


def _waiting(now: int, longest: int) -> sa.ColumnElement[bool]:
    """Whether a wait has not passed; one that ends further off than any was written while a clock was wrong."""
    return sign_in_tries.c.wait_until.between(now + 1, now + longest)
