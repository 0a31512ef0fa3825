"""The first half of a lead's life: read, classified, routed, kept; then, and only then, answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import uuid_utils

from app.decoding import Rejection
from app.lead import TEST_MARK, Envelope, Lead, parse
from app.log import logger, where_from
from app.store.arrival import Arrival, Quarantined, Receipt, person_key
from app.store.tables import Status, to_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from app.privacy import Withholding
    from app.routing import Router
    from app.store import Store
    from app.store.inbox import Inbox


class Keeper(Protocol):
    """Whoever keeps an arrival: the inbox itself, or the committer that does it for all receivers."""

    async def put(self, arrival: Arrival) -> Receipt:
        """Return once it is on disk, or raise StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told."""

    receipt: Receipt
    test: bool
    rejection: Rejection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What it takes to take in a lead."""

    store: Store
    inbox: Inbox
    keeper: Keeper
    router: Router
    withholding: Withholding
    notified: frozenset[str]  # destinations that want to hear of withheld leads
    now: Callable[[], datetime]
    log: Any = field(default_factory=lambda: logger("intake").bind())  # once: it costs more than a line

    async def receive(self, envelope: Envelope, *, source: str) -> Answer:
        """Take in a body from a source whose key was right.

        Raises:
            StoreUnavailable: it is not kept; the sender must not be told otherwise.

        """
        read = self.read(envelope)
        arrival = self.arrival(read, envelope, source=source)
        receipt = await self.keeper.put(arrival)
        self.log.info(
            "lead.received",
            lead=arrival.id,
            status=receipt.status,
            source=source,
            test=arrival.test,
            duplicate_of=receipt.id if receipt.status is Status.DUPLICATE else None,
            destinations=len(arrival.destinations),
            bytes=len(envelope.body),
        )
        return Answer(receipt, arrival.test, read if isinstance(read, Rejection) else None)

    def read(self, envelope: Envelope) -> Lead | Rejection:
        """Parse; a fault of ours while reading must not cost the lead, so it ends in quarantine as well."""
        try:
            return parse(envelope)
        except Exception as exc:  # noqa: BLE001
            self.log.error(
                "parser.crashed", exception=type(exc).__name__, bytes=len(envelope.body), frames=where_from(exc)
            )
            return Rejection(422, "This body could not be read", "It is kept; a newer version may be able to read it.")

    def arrival(self, read: Lead | Rejection, envelope: Envelope, *, source: str) -> Arrival:
        """Classify and route: what is to be kept, and who is to get it."""
        moment = self.now()
        id_, received_at = str(uuid_utils.uuid7()), to_ms(moment)
        if isinstance(read, Rejection):
            kept = self.quarantined(read, envelope)
            return Arrival(
                id=id_,
                received_at=received_at,
                source=source,
                status=Status.QUARANTINED,
                # So that a publisher finds it among the test leads; without NULs it also shows in UTF-16.
                test=TEST_MARK.encode() in envelope.body.replace(b"\0", b"").lower(),
                quarantined=kept,
            )
        test, destinations = read.is_test, self.router.destinations(read, source=source)
        domain = self.withholding.of_lead(read)
        if domain is not None:
            return Arrival(
                id=id_,
                received_at=received_at,
                source=source,
                status=Status.WITHHELD,
                test=test,
                lead=_impersonal(read),
                email_domain=domain,
                destinations=tuple(name for name in destinations if name in self.notified),
            )
        return Arrival(
            id=id_,
            received_at=received_at,
            source=source,
            status=Status.ACCEPTED,
            test=test,
            lead=read,
            person=person_key(self.store, read.email),
            duplicate_key=None if test else self.inbox.duplicate_key(read, source=source),
            destinations=destinations,
        )

    def quarantined(self, rejection: Rejection, envelope: Envelope) -> Quarantined:
        """What is kept of a body that is no lead; of one with a withheld address in it only length and error."""
        error = {
            "status": rejection.status,
            "title": rejection.title,
            "detail": rejection.detail,
            "errors": rejection.errors,
        }
        withheld = self.withholding.of_body(envelope.body) is not None
        return Quarantined(
            content_type="" if withheld else envelope.content_type[:200],
            body=None if withheld else envelope.body,
            length=len(envelope.body),
            error=error,
        )


def _impersonal(lead: Lead) -> Lead:
    """What may be kept of a withheld lead: where it came from and what was asked for."""
    kept = ("lead_source", "action_code", "offer_title", "publisher_id", "offer_id")
    values = {name: getattr(lead, name) for name in kept}
    # A sender may put an address anywhere; these fields have no business with one.
    return Lead(**{name: value for name, value in values.items() if value and "@" not in value})
