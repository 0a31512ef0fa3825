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
TRIES_OF_ALL = 100  # wrong ones of everybody before strangers must wait: nor is a password found from many addresses
MINUTE = 60_000  # ms
FIRST_WAIT = MINUTE  # doubled with each further wrong try
LONGEST_WAIT = 60 * MINUTE
FORGOTTEN_AFTER = 24 * 60 * MINUTE  # without a wrong try
KNOWN_FOR = 30 * 24 * 60 * MINUTE  # an address that somebody signed in from is no stranger
SESSION_HOURS = 12
USE_NOTED_EVERY = MINUTE
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
    """A sign-in that was not accepted; `wait_seconds` until the next try, 0: at once.

    Not `looked`: there was still a wait, and whether the password was right is not known.
    """

    wait_seconds: int
    looked: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """A live token of the API."""

    id: str
    name: str
    role: str


def hash_password(password: str, *, salt: bytes | None = None) -> str:
    """Give the argon2id hash of a password, as `[console] password` may hold it; with a fresh salt unless given one."""
    from argon2 import PasswordHasher  # noqa: PLC0415  (only who signs in pays for it)

    with _HASHING:
        return PasswordHasher().hash(_bytes(password), salt=salt)


@dataclass(frozen=True)
class Access:
    """The door; `entra` names the application that people sign in through instead of by password, "" none."""

    store: Store
    password: Secret | None
    now: Callable[[], datetime]
    entra: str = ""

    @cached_property
    def _rows(self) -> AccessRows:
        return AccessRows(self.store)

    @cached_property
    def _hash(self) -> str:
        """Give the password's hash: the same in every process on this store, so that what follows from it is too."""
        text = self.password.reveal() if self.password is not None else secrets.token_urlsafe(32)
        salt = hmac.digest(self.store.salt(), b"console password", "sha256")[:16]
        return text if text.startswith(HASHED) else hash_password(text, salt=salt)

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
        now = self._now()
        mine, known, all_ = self._mark(address), self._mark(address, b"known"), self._mark("everybody")
        stranger = not self._rows.is_known(known, since=now - KNOWN_FOR)
        until = self._rows.wait_until((mine, all_) if stranger else (mine,), now=now, longest=LONGEST_WAIT)
        # Counted before the password is looked at: tries that come at once must not outrun the count.
        allowed, next_ = (False, until) if until else self._count(mine, _own_wait, now=now)
        if not allowed:
            return Refused(_seconds(next_ - now), looked=False)
        if self._is_right(password):
            proof = self._proof(BY_PASSWORD)
            return self._enter(BY_PASSWORD, OPERATOR, proof=proof, known=known, forgiven=mine)
        _, of_all = self._count(all_, _wait_of_all, now=now)
        if next_ or of_all:
            self._rows.tell_of_wait(now=now, who=Who(BY_PASSWORD))
        return Refused(_seconds(max(next_, of_all if stranger else 0) - now))

    def _count(self, mark: bytes, wait_of: Callable[[int], int], *, now: int) -> tuple[bool, int]:
        return self._rows.count_try(
            mark, wait_of=wait_of, forget_before=now - FORGOTTEN_AFTER, longest=LONGEST_WAIT, now=now
        )

    def _is_right(self, password: str) -> bool:
        from argon2 import PasswordHasher  # noqa: PLC0415
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        wanted = self._hash  # hashing takes a place of its own
        with _HASHING:
            try:
                right = PasswordHasher().verify(wanted, _bytes(password))
            except (VerificationError, InvalidHashError):
                return False
        return right and self.password is not None and not self.entra

    def open_session(self, actor: str, role: str) -> str:
        """Give the cookie of a new session for somebody whom Entra knows."""
        return self._enter(actor, role, proof=self._proof(actor))

    def _enter(
        self, actor: str, role: str, *, proof: bytes, known: bytes | None = None, forgiven: bytes | None = None
    ) -> str:
        cookie, now = secrets.token_urlsafe(32), self._now()
        row = SessionRow(
            key=_digest(cookie),
            actor=actor,
            role=role,
            proof=proof,
            created_at=now,
            expires_at=now + SESSION_HOURS * 60 * MINUTE,
        )
        self._rows.enter(row, known=known, forgiven=forgiven, forget_before=now - KNOWN_FOR, who=Who(actor))
        return cookie

    def session(self, cookie: str) -> Session | None:
        """Give who is signed in with a cookie; None: nobody, or no longer."""
        row = self._rows.session(_digest(cookie), now=self._now())
        if row is None:
            return None
        if not hmac.compare_digest(bytes(row.proof or b""), self._proof(row.actor)):
            return None  # the password was changed since, or how people sign in
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

    def _mark(self, address: str, kind: bytes = b"") -> bytes:
        """Give the keyed hash of an address; of IPv6 its /64, for a household has as many as it likes."""
        try:
            ip = ip_address(address.partition("%")[0])
            named = str(ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)  # noqa: PLR2004
        except ValueError:
            named = address
        return blake2b(named.encode(), digest_size=16, key=self.store.salt(), person=kind).digest()

    def _proof(self, actor: str) -> bytes:
        """Stands for what a session was opened with: the password's hash, or the application in Entra."""
        by = f"password {self._hash}" if actor == BY_PASSWORD and not self.entra else f"entra {self.entra}"
        return hmac.digest(self.store.salt(), by.encode(), "sha256")


def _own_wait(failures: int) -> int:
    """How long (ms) an address waits after so many wrong tries."""
    return min(FIRST_WAIT << min(failures - TRIES, 10), LONGEST_WAIT) if failures >= TRIES else 0


def _wait_of_all(failures: int) -> int:
    """How long (ms) strangers wait; never longer, for somebody who only guesses must not lock everybody out."""
    return FIRST_WAIT if failures >= TRIES_OF_ALL else 0


def _seconds(ms: int) -> int:
    return max(0, -(-ms // 1000))


def _bytes(text: str) -> bytes:
    """Give a text as bytes, whatever was sent or stands in the environment."""
    return text.encode("utf-8", "surrogatepass")


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()
