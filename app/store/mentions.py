"""Where a person is mentioned: looked for in every lead and quarantined body, unsealed one by one.

A keyed hash finds the leads that somebody sent; what stands in a text can be written in many ways, and an index of
such would be one of persons.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msgspec
import sqlalchemy as sa

from app.log import logger
from app.store.arrival import body_bytes, lead_text, opened
from app.store.sealing import BODY, LEAD, SealBroken, Sealed
from app.store.tables import inbox, quarantine, receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from app.store.engine import Store

log = logger("store")
CHUNK = 500  # rows a look: each ends before the next begins, so that the write-ahead log can be emptied meanwhile


def mentioning(store: Store, email: str) -> set[str]:
    """Give the ids of the leads and quarantined bodies in whose text an e-mail address stands.

    Raises:
        StoreUnavailable: not all could be looked through.

    """
    # Letters beyond ASCII fold in many ways; the rest of the address narrows it down.
    plain = max(re.split(r"[^\x21-\x7e]|[\"\\]", email), key=len).lower().encode()
    return {
        *(row.id for row in _rows(store, receipts) if _in_lead(_readable(lead_text, store, row), email, plain)),
        *(row.id for row in _rows(store, quarantine) if _in_body(_readable(body_bytes, store, row), email)),
    }


def unsorted_of(store: Store, email: str, key: bytes) -> set[str]:
    """Give the ids of what is not sorted in and has an e-mail address: by its keyed hash, or in its text.

    Nearly always there is none: only what this version can't sort in stays there.
    """
    with store.read() as connection:
        rows = connection.execute(sa.select(inbox.c.id, inbox.c.arrival)).all()
    return {row.id for row in rows if _is_of(store, row, email, key)}


def _is_of(store: Store, row: Any, email: str, key: bytes) -> bool:  # noqa: ANN401  (a row of inbox)
    try:
        one = opened(row.arrival, store)
        if one.person == key:
            return True
        if one.sealed is None or one.data_key is None:
            return False
        about = (LEAD if one.content_type is None else BODY) + row.id.encode()
        return _in_body(store.keyring.open(Sealed(one.sealed, one.data_key), about), email)
    except (SealBroken, msgspec.DecodeError) as exc:
        log.error("arrival.unreadable", lead=row.id, exception=type(exc).__name__)
        return False


def without(text: str, email: str) -> str:
    """Take an e-mail address out of a text."""
    return re.sub(_shape(email), "[erased]", text, flags=re.IGNORECASE)


def quarantined_bodies_of(store: Store, emails: Collection[str]) -> dict[str, list[str]]:
    """Give the ids of the quarantined bodies in which each of some e-mail addresses stands."""
    found: dict[str, list[str]] = {}
    for row in _rows(store, quarantine) if emails else ():
        body = _readable(body_bytes, store, row)
        for email in emails:
            if _in_body(body, email):
                found.setdefault(email, []).append(row.id)
    return found


def _readable(read: Callable[[Store, Any], bytes | None], store: Store, row: Any) -> bytes | None:  # noqa: ANN401
    """Read a row; one whose seal is broken nobody can read, and it must not keep a person from being forgotten."""
    try:
        return read(store, row)
    except SealBroken as exc:
        log.error("lead.unreadable", lead=row.id, reason=str(exc))
        return None


def _rows(store: Store, table: sa.Table) -> Iterator[Any]:
    kept = sa.or_(table.c.data_key.is_not(None), table.c.unsealed.is_not(None))
    query = sa.select(table.c.id, table.c.sealed, table.c.data_key, table.c.unsealed).where(kept)
    query = query.order_by(table.c.id).limit(CHUNK)
    last = ""
    while True:
        with store.read() as connection:
            rows = connection.execute(query.where(table.c.id > last)).all()
        yield from rows
        if len(rows) < CHUNK:
            return
        last = rows[-1].id


def _in_lead(text: bytes | None, email: str, plain: bytes) -> bool:
    return text is not None and plain in text.lower() and _reads(text.decode(), email)


def _in_body(body: bytes | None, email: str) -> bool:
    return body is not None and any(
        _reads(body.decode(encoding, "ignore"), email) for encoding in ("utf-8", "utf-16", "utf-16-be")
    )


def _shape(email: str) -> str:
    # The whole address: one@contoso.com is not in someone@contoso.com, nor in one@contoso.com.au.
    return rf"(?<![\w.+-]){re.escape(email)}(?![\w-]|\.\w)"


def _reads(text: str, email: str) -> bool:
    """Whether an address stands in a text, also escaped as JSON or a form would have it."""
    wanted = re.compile(_shape(email.casefold()))
    unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    unescaped = re.sub(r"\\(.)", r"\1", re.sub(r"\\[bfnrt]", " ", unescaped))
    # In a form a plus is a blank, elsewhere it is part of an address.
    plain = unquote_plus(text) if "%40" in text else text
    return any(wanted.search(one.casefold()) for one in (text, unescaped, plain))
