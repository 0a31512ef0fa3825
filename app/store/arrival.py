"""What goes into the store of one body that came in, and how it is written down until it is sorted in.

From here on what is personal is sealed: whoever hands it on, keeps it or sorts it in can't read it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from app.lead import Lead  # noqa: TC001  (msgspec reads the annotations)
from app.privacy import fold_address
from app.store.sealing import BODY, LEAD, Sealed
from app.store.tables import Status  # noqa: TC001

if TYPE_CHECKING:
    from app.store.engine import Store


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A body that is no lead: kept as it came, or only its length where it must not be kept."""

    content_type: str
    body: bytes | None
    length: int
    error: dict[str, Any]


class Arrival(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be kept of one body that came in. `received_at` in milliseconds."""

    id: str
    received_at: int
    source: str
    status: Status
    test: bool = False
    lead: Lead | None = None  # withheld: without anything personal
    email_domain: str | None = None
    person: bytes | None = None
    duplicate_key: bytes | None = None  # none: never a duplicate
    destinations: tuple[str, ...] = ()
    quarantined: Quarantined | None = None


class SealedArrival(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An arrival as it is kept: `sealed` and `data_key` hold the lead, or the quarantined body, of `content_type`."""

    id: str
    received_at: int
    source: str
    status: Status
    test: bool
    email_domain: str | None
    person: bytes | None
    destinations: tuple[str, ...]
    lead_source: str | None
    action_code: str | None
    offer: str | None
    sealed: bytes | None
    data_key: bytes | None
    content_type: str | None  # None: it is a lead
    length: int
    error: str


class Letter(msgspec.Struct, frozen=True, array_like=True):
    """An arrival as it is handed on: what is needed to keep it, and all of it in one piece."""

    id: str
    received_at: int
    duplicate_key: bytes | None
    arrival: bytes


class Receipt(msgspec.Struct, frozen=True):
    """What the sender is told; a duplicate's id is the first one's."""

    id: str
    status: Status


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SealedArrival).decode
_decode_plain = msgspec.msgpack.Decoder(Arrival).decode
_to_json = msgspec.json.Encoder().encode
_ARRAYS = range(0x90, 0xA0), range(0xDC, 0xDE)  # how MessagePack begins one; what earlier versions wrote are maps


def letter(arrival: Arrival, store: Store) -> Letter:
    """Write an arrival down, sealed."""
    return Letter(arrival.id, arrival.received_at, arrival.duplicate_key, _encode(sealed(arrival, store)))


def opened(body: bytes, store: Store) -> SealedArrival:
    """Read back what `letter` wrote, in this version or an earlier one.

    Raises:
        msgspec.DecodeError: it is something else.

    """
    if body and any(body[0] in kind for kind in _ARRAYS):
        return _decode(body)
    return sealed(_decode_plain(body), store)


def sealed(arrival: Arrival, store: Store) -> SealedArrival:
    """Seal what is personal."""
    lead, kept = arrival.lead, arrival.quarantined
    one = sealed_body(store, arrival.id, kept.body) if kept is not None else sealed_lead(store, arrival.id, lead)
    return SealedArrival(
        id=arrival.id,
        received_at=arrival.received_at,
        source=arrival.source,
        status=arrival.status,
        test=arrival.test,
        email_domain=arrival.email_domain,
        person=arrival.person,
        destinations=arrival.destinations,
        lead_source=lead.lead_source if lead is not None else None,
        action_code=lead.action_code if lead is not None else None,
        offer=lead.offer if lead is not None else None,
        sealed=one.sealed if one is not None else None,
        data_key=one.data_key if one is not None else None,
        content_type=kept.content_type if kept is not None else None,
        length=kept.length if kept is not None else 0,
        error=_to_json(kept.error).decode() if kept is not None else "",
    )


def sealed_lead(store: Store, id_: str, lead: Lead | None) -> Sealed | None:
    """Seal a lead under its receipt's id."""
    return None if lead is None else store.keyring.seal(_to_json(lead), LEAD + id_.encode())


def sealed_body(store: Store, id_: str, body: bytes | None) -> Sealed | None:
    """Seal a quarantined body under its receipt's id."""
    return None if body is None else store.keyring.seal(body, BODY + id_.encode())


def lead_text(store: Store, row: Any) -> bytes | None:  # noqa: ANN401  (a row of receipts)
    """Give the lead of a receipt as JSON, None where there is none.

    Raises:
        SealBroken: it was changed outside of this program.
        StoreUnavailable: its key can't be had now.

    """
    if row.data_key is not None:
        return store.keyring.open(Sealed(bytes(row.sealed), bytes(row.data_key)), LEAD + row.id.encode())
    return None if row.unsealed is None else row.unsealed.encode()


def body_bytes(store: Store, row: Any) -> bytes | None:  # noqa: ANN401  (a row of quarantine)
    """Give a quarantined body, None where none is kept; raises what `lead_text` does."""
    if row.data_key is not None:
        return store.keyring.open(Sealed(bytes(row.sealed), bytes(row.data_key)), BODY + row.id.encode())
    return None if row.unsealed is None else bytes(row.unsealed)


def person_key(store: Store, email: str | None) -> bytes | None:
    """Give the keyed hash under which everything of an e-mail address is found, however it is spelt."""
    return keyed_hash(store, fold_address(email)) if email else None


def keyed_hash(store: Store, text: str) -> bytes:
    """Give a hash that nobody can make again without this store's own key, 16 bytes."""
    # A lone surrogate must not stop what is only to be hashed.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=store.salt()).digest()
