"""Who may come in: passwords, sessions of the console, tokens of the API.

Passwords are compared by argon2; a session's cookie and a token are 32 random bytes of which the store has a SHA-256.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, sha256
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from app.store.access import AccessRows, SessionRow, TokenRow
from app.store.acts import Who
from app.store.tables import iso, to_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from app.settings import Secret
    from app.store import Store

HASHED = "$argon2"  # how a password that is configured as its hash begins
TRIES = 5  # wrong ones before an address must wait
TRIES_OF_ALL = 100  # wrong ones of everybody before all must wait: a password is not found from many addresses either
FIRST_WAIT = 60  # seconds, doubled with each further wrong try
LONGEST_WAIT = 3600
FORGOTTEN_AFTER = 24 * 3600  # seconds without a wrong try
SESSION_HOURS = 12
USE_NOTED_EVERY = 60_000  # ms
OPERATOR, READER = "operator", "reader"
TOKEN_MARK = "lw_"  # noqa: S105  (how a token begins, so that scanners of leaked secrets know it)
BY_PASSWORD = "console:operator"  # noqa: S105  (the actor)
_HASHING = threading.BoundedSemaphore(2)  # each takes 64 MiB


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in."""

    actor: str
    role: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A sign-in that was not accepted; `wait_seconds` until the next try, 0: at once."""

    wait_seconds: int


@dataclass(frozen=True, slots=True)
class Token:
    """A live token of the API."""

    id: str
    name: str
    role: str


def hash_password(password: str) -> str:
    """Give the argon2id hash of a password, as `[console] password` may hold it."""
    from argon2 import PasswordHasher  # noqa: PLC0415  (only who signs in pays for it)

    with _HASHING:
        return PasswordHasher().hash(password)


@dataclass(frozen=True)
class Access:
    """The door."""

    store: Store
    password: Secret | None
    now: Callable[[], datetime]

    @cached_property
    def _rows(self) -> AccessRows:
        return AccessRows(self.store)

    @cached_property
    def _hash(self) -> str:
        text = self.password.reveal() if self.password is not None else secrets.token_urlsafe(32)
        return text if text.startswith(HASHED) else hash_password(text)

    def _now(self) -> int:
        return to_ms(self.now())

    def cookie_key(self) -> bytes:
        """Give the key that signs the console's cookies: the same in every process on this store."""
        return hmac.digest(self.store.salt(), b"console cookies", "sha256")

    def sign_in(self, password: str, *, address: str) -> str | Refused:
        """Give the cookie of a new session, or say how long to wait after wrong tries.

        Raises:
            StoreUnavailable: it can't be seen whether a try is allowed.

        """
        now, who = self._now(), Who(BY_PASSWORD)
        mine, all_ = self._mark(address), self._mark("everybody")
        wait = self._rows.wait_until((mine, all_)) - now
        if wait > 0:
            return Refused(-(-wait // 1000))
        if self.password is not None and self._is_right(password):
            return self._enter(BY_PASSWORD, OPERATOR, address=mine, proof=self._proof())
        waits = [
            self._one_more(mark, allowed=allowed, now=now, who=who)
            for mark, allowed in ((mine, TRIES), (all_, TRIES_OF_ALL))
        ]
        return Refused(max(waits))

    def _one_more(self, mark: bytes, *, allowed: int, now: int, who: Who) -> int:
        """Count a wrong try; gives the seconds to wait for the next."""
        failures = self._rows.failed(mark, forget_before=now - FORGOTTEN_AFTER * 1000, now=now)
        if failures < allowed:
            return 0
        wait = int(min(FIRST_WAIT * 2 ** min(failures - allowed, 10), LONGEST_WAIT))
        self._rows.make_wait(mark, until=now + wait * 1000, now=now, who=who)
        return wait

    def _is_right(self, password: str) -> bool:
        from argon2 import PasswordHasher  # noqa: PLC0415
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        with _HASHING:
            try:
                return PasswordHasher().verify(self._hash, password)
            except (VerificationError, InvalidHashError):
                return False

    def open_session(self, actor: str, role: str) -> str:
        """Give the cookie of a new session for somebody whom Entra knows."""
        return self._enter(actor, role, address=None, proof=None)

    def _enter(self, actor: str, role: str, *, address: bytes | None, proof: bytes | None) -> str:
        cookie, now = secrets.token_urlsafe(32), self._now()
        row = SessionRow(
            key=_digest(cookie),
            actor=actor,
            role=role,
            proof=proof,
            created_at=now,
            expires_at=now + SESSION_HOURS * 3_600_000,
        )
        self._rows.enter(row, address=address, now=now, who=Who(actor))
        return cookie

    def session(self, cookie: str) -> Session | None:
        """Give who is signed in with a cookie; None: nobody, or no longer."""
        row = self._rows.session(_digest(cookie), now=self._now())
        if row is None:
            return None
        if row.actor == BY_PASSWORD and not hmac.compare_digest(bytes(row.proof or b""), self._proof()):
            return None  # the password was changed since
        return Session(row.actor, row.role)

    def sign_out(self, cookie: str) -> None:
        """End a session."""
        found = self.session(cookie)
        if found is not None:
            self._rows.leave(_digest(cookie), now=self._now(), who=Who(found.actor))

    def tokens(self) -> list[dict[str, Any]]:
        """Give every token without its text: id, name, role, created_at, created_by, last_used_at, revoked_at."""
        return [
            {
                "id": row.id,
                "name": row.name,
                "role": row.role,
                "created_at": iso(row.created_at),
                "created_by": row.created_by,
                "last_used_at": iso(row.last_used_at),
                "revoked_at": iso(row.revoked_at),
            }
            for row in self._rows.tokens()
        ]

    def new_token(self, name: str, role: str, *, who: Who) -> tuple[str, str]:
        """Make a token; gives its id and its text, which is kept nowhere."""
        text, id_ = TOKEN_MARK + secrets.token_urlsafe(32), secrets.token_hex(4)
        row = TokenRow(id=id_, name=name, role=role, hash=_digest(text), created_at=self._now(), created_by=who.actor)
        self._rows.add_token(row, who=who)
        return id_, text

    def verify_token(self, text: str) -> Token | None:
        """Give the live token with this text."""
        row = self._rows.token(_digest(text))
        if row is None:
            return None
        if self._now() - (row.last_used_at or 0) >= USE_NOTED_EVERY:
            self._rows.token_used(row.id, now=self._now())
        return Token(row.id, row.name, row.role)

    def revoke_token(self, id_: str, *, who: Who) -> bool:
        """End a token; tells whether it was live."""
        return self._rows.revoke(id_, now=self._now(), who=who)

    def _mark(self, address: str) -> bytes:
        """Give the keyed hash of an address; of IPv6 its /64, for a household has as many as it likes."""
        try:
            ip = ip_address(address.partition("%")[0])
            named = str(ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)  # noqa: PLR2004
        except ValueError:
            named = address
        return blake2b(named.encode(), digest_size=16, key=self.store.salt()).digest()

    def _proof(self) -> bytes:
        """Stands for the password a session was opened with."""
        text = self.password.reveal() if self.password is not None else ""
        return hmac.digest(self.store.salt(), b"password " + text.encode(), "sha256")


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()
