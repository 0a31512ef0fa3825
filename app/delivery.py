"""The second half of a lead's life: claimed, sent, what came of it understood, decided and written down."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.destinations.base import DeliveryFailed, OneByOne, Outcome, Parcel, Postponed, Sent
from app.lead import Lead
from app.log import logger, where_from
from app.retry import Verdict, decide
from app.store import StoreUnavailable
from app.store.counts import Usage
from app.store.outbox import Claim, LaneState, Outbox, Result
from app.store.tables import State, from_ms, iso, to_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from datetime import datetime, timedelta

    from app.catalogue import Catalogue, Entry
    from app.destinations.base import Destination

    _Cause = tuple[str | None, int | None]

log = logger("delivery")
UNKNOWN = "uncatalogued"
RECORD_WITHIN = 120.0  # seconds; past a lease it does no harm, the claim no longer stands then
RECORD_AGAIN_AFTER = 0.5
RECORD_GROUP = 50  # results a transaction: senders wait behind it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The way to one destination: what it takes to move a batch along it once."""

    name: str
    type: str
    destination: Destination
    outbox: Outbox
    catalogue: Catalogue
    schedule: Sequence[timedelta]
    now: Callable[[], datetime]

    def step(self) -> int | None:
        """Probe or deliver once, if it is time; else give when to come again (ms), None if nothing waits."""
        now = to_ms(self.now())
        state = self.outbox.lane(self.name, now=now)
        if state.next_at is None or state.next_at > now:
            return state.next_at
        if state.parked:
            self._probe(now)
        else:
            self._deliver(state, now)
        return now

    def _probe(self, now: int) -> None:
        """Ask a parked destination whether it is mended; if so the lane flows again, one lead at first."""
        if not self.outbox.take_probe(self.name, now=now):
            return
        found = self._checked()
        if isinstance(found, str):
            code = None
            self.outbox.record_probe(self.name, code=None, now=to_ms(self.now()))
        else:
            code = self._entry(found).code
            self.outbox.record_probe(
                self.name,
                code=code,
                now=to_ms(self.now()),
                status=found.status,
                raw_code=_plain(found.code, Lead()),
                evidence=_evidence(found, leads=()),
            )
        log.info("destination.probed", destination=self.name, code=code, green=code is None)

    def check(self) -> tuple[str | None, str]:
        """Try the destination for real: the catalogue code of what is wrong (None: nothing) and a line about it."""
        found = self._checked()
        if isinstance(found, str):
            return None, found
        entry = self._entry(found)
        return entry.code, f"{entry.title}: {found.about}" if found.about else entry.title

    def _checked(self) -> str | DeliveryFailed:
        """Try the destination: a line about what was found, or what went wrong."""
        try:
            return self.destination.check()
        except DeliveryFailed as failure:
            return failure
        except Exception as exc:  # noqa: BLE001  (an adapter's own fault must not stop the lane)
            name = _own_fault(exc, destination=self.name)
            return DeliveryFailed(detail=name, about=name)

    def _deliver(self, state: LaneState, now: int) -> None:
        limit = 1 if state.probes else self.destination.max_batch
        claims = self.outbox.claim(self.name, limit=limit, now=now)
        if not claims:
            return
        until = now + self.outbox.lease_ms
        left, begun = len(claims), time.monotonic()
        with contextlib.closing(self._outcomes(claims, until=until)) as outcomes:
            # Asked before each step: who slept past the lease goes no further, another may have sent them since.
            while left and to_ms(self.now()) < until and (some := next(outcomes, None)):
                left -= len(some)
                self._settle(some, duration_ms=round((time.monotonic() - begun) * 1000))
        if left:
            log.warning("lease.lost", destination=self.name, deliveries=left)

    def _outcomes(self, claims: Sequence[Claim], *, until: int) -> Generator[Sequence[tuple[Claim, Outcome]]]:
        """Send, giving what became of claims as far as it is known: of all at once, or step by step."""
        parcels = [_parcel(claim, self.name, until=from_ms(until)) for claim in claims]
        if not isinstance(self.destination, OneByOne):
            yield list(zip(claims, self._send(parcels), strict=True))
            return
        left = {parcel.delivery_id: claim for parcel, claim in zip(parcels, claims, strict=True)}
        failed = DeliveryFailed(detail="a wrong number of outcomes")
        try:
            for some in self.destination.sending(parcels):
                yield [(left.pop(id_), outcome) for id_, outcome in some.items()]
        except DeliveryFailed as failure:
            failed = failure
        except Exception as exc:  # noqa: BLE001  (whatever an adapter or its SDK does, the leads must not be lost)
            failed = DeliveryFailed(detail=_own_fault(exc, destination=self.name))
        if left:
            yield [(claim, failed) for claim in left.values()]

    def _settle(self, outcomes: Sequence[tuple[Claim, Outcome]], *, duration_ms: int) -> None:
        """Decide what becomes of claims, and write it down."""
        now = to_ms(self.now())
        told = self._evidence([one for _, one in outcomes], leads=[claim.lead for claim, _ in outcomes])
        results = [
            self._result(claim, outcome, now=now, duration_ms=duration_ms, evidence=told.get(_cause(outcome)))
            for claim, outcome in outcomes
        ]
        usage = self._usage() if any(result.attempted for result in results) else None
        ends = time.monotonic() + RECORD_WITHIN
        for group, last in _groups(results):
            kept = self._recorded(group, now=now, usage=usage if last else None, durable=last, ends=ends)
            stood = {result.claim.receipt_id for result in kept}
            for result in group:
                self._log(result, batch=len(results), stood=result.claim.receipt_id in stood)

    def _recorded(
        self, results: Sequence[Result], *, now: int, usage: Usage | None, durable: bool, ends: float
    ) -> list[Result]:
        """Write down what came of claims: what isn't, is sent again, so a store that is away is waited for."""
        while True:
            try:
                return self.outbox.record(self.name, results, now=now, usage=usage, durable=durable)
            except StoreUnavailable as exc:
                if time.monotonic() > ends:
                    raise
                log.warning("store.awaited", destination=self.name, reason=str(exc))
                time.sleep(RECORD_AGAIN_AFTER)

    def _usage(self) -> Usage | None:
        """Ask the adapter for what it knows of its system's limits; a fault there must not cost the results."""
        try:
            known = self.destination.usage
        except Exception as exc:  # noqa: BLE001
            _own_fault(exc, destination=self.name)
            return None
        return Usage(known.used, known.allowed, known.of) if known is not None else None

    def _evidence(self, outcomes: Sequence[Outcome], *, leads: Sequence[Lead]) -> dict[_Cause | None, str | None]:
        """Give what the system said, once for each cause: leads that fail alike would all be told the same."""
        failures = {_cause(one): one for one in outcomes if isinstance(one, DeliveryFailed)}
        return {cause: _evidence(failure, leads=leads) for cause, failure in failures.items()}

    def _send(self, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        try:
            outcomes = list(self.destination.send(parcels))
        except DeliveryFailed as failure:
            return [failure] * len(parcels)
        except Exception as exc:  # noqa: BLE001  (whatever an adapter or its SDK does, the leads must not be lost)
            return [DeliveryFailed(detail=_own_fault(exc, destination=self.name))] * len(parcels)
        if len(outcomes) != len(parcels):
            log.error("destination.miscounted", destination=self.name, parcels=len(parcels), outcomes=len(outcomes))
            return [DeliveryFailed(detail="a wrong number of outcomes")] * len(parcels)
        return outcomes

    def _entry(self, failure: DeliveryFailed) -> Entry:
        return self.catalogue.translate(self.type, code=failure.code, status=failure.status, detail=failure.detail)

    def _result(
        self, claim: Claim, outcome: Outcome, *, now: int, duration_ms: int, evidence: str | None = None
    ) -> Result:
        verdict, code, raw_code, status, remote_id = Verdict.DONE, None, None, None, None
        state, due_at, tries = str(State.SENT), now, claim.tries
        if isinstance(outcome, Sent):
            remote_id = outcome.remote_id
        elif isinstance(outcome, Postponed):
            state, due_at, verdict = State.DUE, to_ms(outcome.until), Verdict.RETRY
        else:
            entry = self._entry(outcome)
            decision = decide(entry.verdict, tries=claim.tries, schedule=self.schedule, retry_after=outcome.retry_after)
            verdict, code, raw_code, status = entry.verdict, entry.code, outcome.code, outcome.status
            state, due_at, tries = decision.state, now + round(decision.wait.total_seconds() * 1000), decision.tries
        return Result(
            claim=claim,
            state=state,
            due_at=due_at,
            tries=tries,
            verdict=verdict,
            code=code,
            raw_code=_plain(raw_code, claim.lead),
            status=status,
            remote_id=remote_id,
            duration_ms=duration_ms,
            attempted=not isinstance(outcome, Postponed),
            evidence=evidence,
        )

    def _log(self, result: Result, *, batch: int, stood: bool) -> None:
        if not result.attempted:
            return
        claim = result.claim
        state = State.HELD if result.verdict is Verdict.HOLD else result.state
        log.info(
            "delivery.attempted",
            lead=claim.receipt_id,
            delivery=delivery_id(claim.receipt_id, self.name),
            destination=self.name,
            type=self.type,
            attempt=claim.number,
            code=result.code,
            raw_code=result.raw_code,
            status=result.status,
            verdict=result.verdict if result.code else "sent",
            state=state if stood else "lease lost",
            next_at=iso(result.due_at) if state == State.DUE else None,
            tries=result.tries,
            batch=batch,
            test=claim.test,
            duration_ms=result.duration_ms,
        )


def delivery_id(receipt_id: str, destination: str) -> str:
    """Give the id of a delivery: always the same for a lead and a destination's name, so that writes repeat safely."""
    return str(uuid.uuid5(uuid.UUID(receipt_id), destination))


def _groups(results: Sequence[Result]) -> Iterator[tuple[Sequence[Result], bool]]:
    """Cut a batch into what is recorded together, and say of each whether it is the last.

    What parks the lane comes first: a success after it doesn't make the lane forget its trouble.
    """
    ordered = sorted(results, key=lambda result: result.verdict is not Verdict.HOLD)
    for start in range(0, len(ordered), RECORD_GROUP):
        yield ordered[start : start + RECORD_GROUP], start + RECORD_GROUP >= len(ordered)


def _parcel(claim: Claim, destination: str, *, until: datetime) -> Parcel:
    return Parcel(
        delivery_id=delivery_id(claim.receipt_id, destination),
        lead_id=claim.receipt_id,
        received_at=from_ms(claim.received_at),
        source=claim.source,
        test=claim.test,
        lead=claim.lead,
        withheld_domain=claim.email_domain,
        redelivery=claim.number > 1,
        leased_until=until,
    )


def _cause(outcome: Outcome) -> _Cause | None:
    """Name what failures have in common that differ in nothing but their lead."""
    return (outcome.code, outcome.status) if isinstance(outcome, DeliveryFailed) else None


def _evidence(failure: DeliveryFailed, *, leads: Sequence[Lead]) -> str | None:
    """Scrub what the system said; None if it said nothing."""
    from app.evidence import scrubbed  # noqa: PLC0415  (receivers load this module too, and never need it)

    return scrubbed(failure.detail, leads=leads) or None


def _plain(raw_code: str | None, lead: Lead) -> str | None:
    """Keep a foreign code that looks like one; what a system puts there instead may be anything, a person included."""
    if raw_code is None or not re.fullmatch(r"[A-Za-z0-9_.: -]{1,80}", raw_code):
        return None
    values = (lead.first_name, lead.last_name, lead.email, lead.phone, lead.company, lead.title)
    told = raw_code.casefold()
    return None if any(value and value.casefold() in told for value in values) else raw_code


def _own_fault(exc: Exception, *, destination: str) -> str:
    """Log where an unforeseen exception came from; its message may hold a person's data and is not repeated."""
    log.error("destination.crashed", destination=destination, exception=type(exc).__name__, frames=where_from(exc))
    return type(exc).__name__
