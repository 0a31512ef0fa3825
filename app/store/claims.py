"""What a claim is and what becomes of one, and the statements that write it down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from app.lead import Lead
from app.log import logger
from app.retry import Verdict
from app.store.arrival import lead_text
from app.store.sealing import SealBroken
from app.store.tables import WAITING, State, Status, attempts, deliveries, receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from app.store.engine import Store

log = logger("store")
SEAL_BROKEN = "leadwire.seal-broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that is ours until its lease ends; `number` counts its claims. Times in milliseconds."""

    receipt_id: str
    number: int
    tries: int
    received_at: int
    source: str
    test: bool
    email_domain: str | None  # set: a withheld lead
    lead: Lead


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What becomes of a claim; `code` None: no failure. `attempted` False: it was only put off."""

    claim: Claim
    state: str
    due_at: int
    tries: int
    verdict: Verdict
    code: str | None
    raw_code: str | None
    status: int | None
    remote_id: str | None
    duration_ms: int
    attempted: bool = True
    evidence: str | None = None  # what the system said, scrubbed of persons and secrets


# Built once: making a statement costs more than a small one takes to run.
_NAME: sa.BindParameter[str] = sa.bindparam("b_name")
_IDS: sa.BindParameter[Any] = sa.bindparam("b_ids", expanding=True)
RECEIPTS = (
    sa.select(
        receipts.c.id,
        receipts.c.received_at,
        receipts.c.source,
        receipts.c.test,
        receipts.c.email_domain,
        receipts.c.sealed,
        receipts.c.data_key,
        receipts.c.unsealed,
    )
    # Of a lead that was erased since its claim nothing is left that could be sent.
    .where(receipts.c.id.in_(_IDS), receipts.c.status != Status.ERASED)
    .order_by(receipts.c.received_at, receipts.c.id)
)


def _claim(due: sa.ColumnElement[bool]) -> sa.Executable:
    picked = (
        sa.select(deliveries.c.receipt_id)
        .where(deliveries.c.destination == _NAME, WAITING, due)
        .order_by(deliveries.c.due_at)
        .limit(sa.bindparam("b_limit"))
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    return (
        sa.update(deliveries)
        .where(deliveries.c.destination == _NAME, deliveries.c.receipt_id.in_(sa.select(picked.c.receipt_id)))
        .values(
            state=State.SENDING,
            claims=deliveries.c.claims + 1,
            worker=sa.bindparam("b_worker"),
            due_at=sa.bindparam("b_lease"),
            updated_at=sa.bindparam("b_now"),
        )
        .returning(deliveries.c.receipt_id, deliveries.c.claims, deliveries.c.tries)
    )


CLAIM_DUE = _claim(deliveries.c.due_at <= sa.bindparam("b_edge"))
# A time beyond the horizon was written while the clock was wrong.
CLAIM_FAR = _claim(deliveries.c.due_at > sa.bindparam("b_edge"))

STANDING = (
    sa.select(deliveries.c.receipt_id, deliveries.c.claims)
    .where(
        deliveries.c.destination == _NAME,
        deliveries.c.state == State.SENDING,
        deliveries.c.receipt_id.in_(_IDS),
    )
    .order_by(deliveries.c.receipt_id)  # everybody locks in this order
    .with_for_update()
)

_TRIED = ("receipt_id", "destination", "state", "due_at", "tries", "code", "remote_id", "updated_at")
_PUT_OFF = tuple(name for name in _TRIED if name != "code")  # what is put off keeps the cause it had
_ATTEMPT = ("receipt_id", "destination", "number", "at", "code", "status", "raw_code", "verdict", "duration_ms")


class Ledger:
    """Writes down what became of claims, many rows at the price of few."""

    def __init__(self, store: Store) -> None:
        """Make the statements."""
        self._tried = store.many(deliveries, _TRIED, _settling(_TRIED))
        self._put_off = store.many(deliveries, _PUT_OFF, _settling(_PUT_OFF))
        self._attempts = store.many(attempts, _ATTEMPT, lambda row: row)

    def write(self, connection: Connection, destination: str, results: Sequence[Result], *, now: int) -> None:
        """Settle deliveries, and keep each attempt; times in milliseconds."""
        tried = [one for one in results if one.attempted]
        put_off = [_settled(destination, one, one.remote_id, now) for one in results if not one.attempted]
        if tried:
            self._tried(connection, [_settled(destination, one, one.code, one.remote_id, now) for one in tried])
            self._attempts(connection, [_attempt(destination, one, now) for one in tried])
        if put_off:
            self._put_off(connection, put_off)


def _settling(columns: Sequence[str]) -> Callable[[Any], Any]:
    """Have an insert of deliveries, which are there already, change them: on either database one call for all."""

    def finish(row: Any) -> Any:  # noqa: ANN401  (the dialects' inserts share no typed base)
        return row.on_conflict_do_update(
            index_elements=["receipt_id", "destination"], set_={name: row.excluded[name] for name in columns[2:]}
        )

    return finish


def _settled(destination: str, result: Result, *more: Any) -> tuple[Any, ...]:  # noqa: ANN401  (texts, a number)
    return result.claim.receipt_id, destination, result.state, result.due_at, result.tries, *more


def _attempt(destination: str, result: Result, now: int) -> tuple[Any, ...]:
    claim, verdict = result.claim, str(result.verdict) if result.code else "sent"
    told = result.code, result.status, result.raw_code
    return claim.receipt_id, destination, claim.number, now, *told, verdict, result.duration_ms


_read = msgspec.json.Decoder(Lead).decode


def claim_of(receipt: Any, delivery: Sequence[Any], store: Store) -> Claim:  # noqa: ANN401  (a row)
    """Put together what was claimed; raises what `lead_text` does."""
    return _claim_with(_lead(lead_text(store, receipt) or b"{}"), receipt, delivery)


def _claim_with(lead: Lead, receipt: Any, delivery: Sequence[Any]) -> Claim:  # noqa: ANN401  (a row)
    _, number, tries = delivery
    return Claim(
        receipt_id=receipt.id,
        number=number,
        tries=tries,
        received_at=receipt.received_at,
        source=receipt.source,
        test=receipt.test,
        email_domain=receipt.email_domain,
        lead=lead,
    )


def claims_of(
    found: Sequence[Any], taken: Mapping[str, Sequence[Any]], store: Store
) -> tuple[list[Claim], list[Result]]:
    """Put together what was claimed; and what is to be recorded of leads whose seal is broken: they are dead."""
    claims, broken = [], []
    for receipt in found:
        delivery = taken[receipt.id]
        try:
            claims.append(claim_of(receipt, delivery, store))
        except SealBroken as exc:
            log.error("lead.unreadable", lead=receipt.id, reason=str(exc))
            bare = _claim_with(Lead(), receipt, delivery)
            broken.append(
                Result(
                    claim=bare,
                    state=State.DEAD,
                    due_at=receipt.received_at,
                    tries=bare.tries,
                    verdict=Verdict.DEAD,
                    code=SEAL_BROKEN,
                    raw_code=None,
                    status=None,
                    remote_id=None,
                    duration_ms=0,
                )
            )
    return claims, broken


def _lead(text: bytes) -> Lead:
    try:
        return _read(text)
    except msgspec.DecodeError:  # written by a version that was less strict
        return Lead.from_dict(json.loads(text))
