"""Where a person is mentioned: looked for in every lead and quarantined body, unsealed one by one.

A keyed hash finds the leads that somebody sent; what stands in a text can be written in many ways, and an index of
such would be one of persons.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msgspec
import sqlalchemy as sa

from app.log import logger
from app.privacy import fold_letters, spellings
from app.store.arrival import body_bytes, lead_text, opened
from app.store.sealing import BODY, LEAD, SealBroken, Sealed
from app.store.tables import inbox, quarantine, receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from app.store.engine import Store

log = logger("store")
CHUNK = 500  # rows a look: each ends before the next begins, so that the write-ahead log can be emptied meanwhile


class Address:
    """An e-mail address that is looked for in texts, in each of its spellings."""

    def __init__(self, email: str) -> None:
        """Take it as a person wrote it."""
        self._spellings = spellings(email)
        self._shape = re.compile(_shape(self._spellings))
        # What is in any spelling of it: a domain can be an IDN, and anything may be escaped but plain characters.
        local, _, domain = self._spellings[0].rpartition("@")
        common = local if "xn--" in domain else self._spellings[0]
        self._common = max(re.split(r"[^\x21-\x7e]|[\"\\]", common), key=len)

    def is_in(self, readings: Collection[str]) -> bool:
        """Whether it stands in one of a text's readings."""
        return any(
            self._shape.search(text) for text in readings if any(spelling in text for spelling in self._spellings)
        )

    def is_in_lead(self, text: bytes | None) -> bool:
        """Whether it stands in a lead's JSON, most of which are soon seen not to have it."""
        if text is None or self._common not in fold_letters(text.decode()):
            return False
        return self.is_in(_readings(text.decode()))


def mentioning(store: Store, email: str) -> set[str]:
    """Give the ids of the leads and quarantined bodies in whose text an e-mail address stands.

    Raises:
        StoreUnavailable: not all could be looked through.

    """
    wanted = Address(email)
    return {
        *(row.id for row in _rows(store, receipts) if wanted.is_in_lead(_readable(lead_text, store, row))),
        *(row.id for row in _rows(store, quarantine) if wanted.is_in(_seen(_readable(body_bytes, store, row)))),
    }


def unsorted_of(store: Store, email: str, key: bytes) -> set[str]:
    """Give the ids of what is not sorted in and has an e-mail address: by its keyed hash, or in its text.

    Nearly always there is none: only what this version can't sort in stays there.
    """
    with store.read() as connection:
        rows = connection.execute(sa.select(inbox.c.id, inbox.c.arrival)).all()
    wanted = Address(email)
    return {row.id for row in rows if _is_of(store, row, wanted, key)}


def _is_of(store: Store, row: Any, wanted: Address, key: bytes) -> bool:  # noqa: ANN401  (a row of inbox)
    try:
        one = opened(row.arrival, store)
        if one.person == key:
            return True
        if one.sealed is None or one.data_key is None:
            return False
        about = (LEAD if one.content_type is None else BODY) + row.id.encode()
        return wanted.is_in(_seen(store.keyring.open(Sealed(one.sealed, one.data_key), about)))
    except (SealBroken, msgspec.DecodeError) as exc:
        log.error("arrival.unreadable", lead=row.id, exception=type(exc).__name__)
        return False


def without(text: str, email: str) -> str:
    """Take an e-mail address out of a text."""
    forms = [unicodedata.normalize(form, one) for one in spellings(email) for form in ("NFC", "NFD")]
    return re.sub(_shape(forms), "[erased]", text, flags=re.IGNORECASE)


def quarantined_bodies_of(store: Store, emails: Collection[str]) -> dict[str, list[str]]:
    """Give the ids of the quarantined bodies in which each of some e-mail addresses stands."""
    found: dict[str, list[str]] = {}
    wanted = {email: Address(email) for email in emails}
    for row in _rows(store, quarantine) if emails else ():
        readings = _seen(_readable(body_bytes, store, row))
        for email, address in wanted.items():
            if address.is_in(readings):
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


def _seen(body: bytes | None) -> set[str]:
    """Give what can be read in a quarantined body, whose encoding nobody knows."""
    if body is None:
        return set()
    try:
        texts = [body.decode()]
    except UnicodeDecodeError:
        texts = [body.decode("utf-8", "replace"), body.decode("latin-1")]
    texts += [body.decode(encoding, "ignore") for encoding in ("utf-16", "utf-16-be")]
    return {reading for text in texts for reading in _readings(text)}


def _readings(text: str) -> set[str]:
    """Give a text as it is, and as it would be were it JSON or a form, letters folded."""
    unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    unescaped = re.sub(r"\\(.)", r"\1", re.sub(r"\\[bfnrt]", " ", unescaped))
    # In a form a plus is a blank, elsewhere it is part of an address.
    plain = unquote_plus(text) if "%40" in text else text
    return {fold_letters(one) for one in (text, unescaped, plain)}


def _shape(ways: Collection[str]) -> str:
    # The whole address: one@contoso.com is not in someone@contoso.com, nor in one@contoso.com.au.
    return rf"(?<![\w.+-])(?:{'|'.join(map(re.escape, ways))})(?![\w-]|\.\w)"
