"""What people do with Leadwire, whichever face they use: look, replay, discard, repair, release, erase, purge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.decoding import FORM_TYPES, Rejection, is_json, media_type
from app.lead import Envelope, Lead
from app.store.acts import Acts, Selection, Who
from app.store.inbox import person_key
from app.store.tables import State, Status, iso, to_ms
from app.store.views import Figures, Filter, Views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from app.catalogue import Catalogue
    from app.intake import Intake
    from app.settings import Settings
    from app.store import Store

REMOVED = "leadwire.destination-removed"


class NotPossible(Exception):  # noqa: N818  (it is an answer to a person)
    """What was asked can't be done; the message says why and what to do instead."""


@dataclass(frozen=True, kw_only=True)
class Operations:
    """The verbs."""

    store: Store
    settings: Settings
    catalogue: Catalogue
    intake: Intake
    kinds: Mapping[str, str]  # configured destinations' types by name
    now: Callable[[], datetime]

    @cached_property
    def _views(self) -> Views:
        return Views(self.store)

    @cached_property
    def _acts(self) -> Acts:
        return Acts(self.store)

    def _now(self) -> int:
        return to_ms(self.now())

    def leads(self, wanted: Filter) -> list[dict[str, Any]]:
        """What came in, newest first; nothing personal."""
        return self._views.leads(wanted)

    def show(self, id_: str) -> dict[str, Any]:
        """One lead and what became of it.

        Raises:
            NotPossible: no such lead.

        """
        found = self._views.show(id_)
        if found is None:
            msg = f"There is no lead {id_}."
            raise NotPossible(msg)
        return found

    def problems(self) -> list[dict[str, Any]]:
        """The remediation log: one row a destination and cause, in the catalogue's words of today."""
        rows = []
        for cause in self._views.causes():
            if cause.parked and cause.destination not in self.kinds:
                continue  # nobody probes it any more: `_removed` says what waits there
            entry = self.catalogue.get(cause.code)
            rows.append(
                {
                    "destination": cause.destination,
                    "type": self.kinds.get(cause.destination),
                    "code": cause.code,
                    "title": entry.title,
                    "since": iso(cause.since),
                    "leads_waiting": cause.waiting,
                    "dead": cause.dead,
                    "held": cause.parked,
                    "next_try": iso(cause.next_try),
                    "owner": entry.owner,
                    "cause": entry.cause,
                    "remedy": list(entry.remedy),
                    "doc": entry.doc,
                }
            )
        return rows + self._removed()

    def _removed(self) -> list[dict[str, Any]]:
        """What waits for destinations that the configuration no longer has."""
        entry = self.catalogue.get(REMOVED)
        return [
            {
                "destination": name,
                "type": None,
                "code": REMOVED,
                "title": entry.title,
                "since": iso(since),
                "leads_waiting": waiting,
                "dead": 0,
                "held": True,
                "next_try": None,
                "owner": entry.owner,
                "cause": entry.cause,
                "remedy": list(entry.remedy),
                "doc": entry.doc,
            }
            for name, (waiting, since) in self._views.waiting_by_destination().items()
            if name not in self.kinds
        ]

    def figures(self) -> Figures:
        """Counts for machines."""
        return self._views.figures(names=list(self.kinds), now=self._now())

    def worker_silent_for(self) -> float | None:
        """Give the seconds since a worker last gave a sign of life; None: never."""
        seen = self._views.worker_seen_at()
        return None if seen is None else max(0.0, (self._now() - seen) / 1000)

    def select(
        self,
        *,
        ids: Sequence[str],
        destination: str | None,
        code: str | None,
        since: int | None,
        states: Sequence[State],
    ) -> list[tuple[str, str, str]]:
        """Find deliveries for `replay` and `discard`.

        Raises:
            NotPossible: an id that doesn't exist, or nothing to select by.

        """
        if not ids and destination is None and code is None and since is None:
            msg = "Say which: ids, or --destination, --code, --since."
            raise NotPossible(msg)
        for id_ in ids:
            self.show(id_)
        selection = Selection(
            ids=tuple(ids), destination=destination, code=code, since=since, states=tuple(str(one) for one in states)
        )
        return self._acts.find(selection)

    def replay(self, found: Sequence[tuple[str, str, str]], *, who: Who) -> int:
        """Deliver again, with fresh patience; gives how many deliveries."""
        return self._acts.replay(found, now=self._now(), who=who)

    def see_configured(self, destination: str) -> None:
        """Refuse a destination that nothing is delivered to.

        Raises:
            NotPossible: it is not configured.

        """
        if destination not in self.kinds:
            msg = f"No destination {destination!r} is configured; there are: {', '.join(sorted(self.kinds))}."
            raise NotPossible(msg)

    def deliver_also(self, id_: str, destination: str, *, who: Who) -> bool:
        """Deliver a lead to a configured destination that it was not routed to.

        Raises:
            NotPossible: no such destination, or the lead has nothing that could be delivered.

        """
        self.see_configured(destination)
        lead = self.show(id_)
        if lead["status"] != Status.ACCEPTED:
            msg = f"Lead {id_} is {lead['status']}: there is nothing to deliver."
            raise NotPossible(msg)
        return self._acts.add_delivery(id_, destination, now=self._now(), who=who)

    def discard(self, found: Sequence[tuple[str, str, str]], *, who: Who) -> int:
        """Give up deliveries; gives how many."""
        return self._acts.discard(found, now=self._now(), who=who)

    def try_now(self, destinations: set[str]) -> None:
        """Have destinations tried at once, parked or with failed leads that wait for their next try."""
        self._acts.try_now(destinations, now=self._now())

    def quarantined(self) -> list[dict[str, Any]]:
        """What waits in quarantine, without the bodies."""
        return self._views.quarantined()

    def quarantined_body(self, id_: str) -> bytes:
        """Give the body kept under `id_`.

        Raises:
            NotPossible: nothing is quarantined under it, or its body was withheld.

        """
        return self._quarantined(id_)[2]

    def _quarantined(self, id_: str) -> tuple[str, str, bytes]:
        found = self._views.body(id_)
        if found is None:
            msg = f"Nothing is quarantined under {id_}. `leadwire quarantine` lists what is."
            raise NotPossible(msg)
        source, content_type, body = found
        if body is None:
            msg = (
                f"The body of {id_} was not kept: an address of a withheld domain was in it. It can only be discarded."
            )
            raise NotPossible(msg)
        return source, content_type, body

    def _read_again(self, content_type: str, kept: bytes, repaired: bytes | None) -> tuple[Envelope, Lead | Rejection]:
        """Read a quarantined body, or the repaired one in its place, as it would be read if it came in now."""
        kind = media_type(content_type)
        # What a person has looked at since shows by itself what it is, unless it is a form; editors save UTF-8.
        as_declared = kind in FORM_TYPES or (repaired is None and is_json(kind))
        body = kept if repaired is None else repaired
        envelope = Envelope(body=body, content_type=content_type if as_declared else "")
        return envelope, self.intake.read(envelope)

    def repair(self, id_: str, *, body: bytes, who: Who) -> Lead | Rejection:
        """Put another body in place of a quarantined one; gives how it reads now."""
        _, content_type, before = self._quarantined(id_)
        envelope, read = self._read_again(content_type, before, body)
        ready = Rejection(200, "Ready to be released", "It reads as a lead now.")
        kept = self.intake.quarantined(read if isinstance(read, Rejection) else ready, envelope)
        if kept.body is None and not isinstance(read, Rejection):
            msg = "The body has an address of a withheld domain: it can't be kept as it is. Release it in one step."
            raise NotPossible(msg)
        self._acts.repair(id_, kept, now=self._now(), who=who)
        return read

    def release(self, id_: str, *, who: Who, body: bytes | None = None) -> Lead | Rejection:
        """Let a quarantined body flow as the lead it holds; a Rejection says why it still is none.

        `body` is a repaired one that takes its place in the same step.
        """
        source, content_type, kept = self._quarantined(id_)
        if source not in self.settings.sources:
            msg = (
                f"{id_} came from {source!r}, which is no longer a source in {self.settings.where}. Put it back first."
            )
            raise NotPossible(msg)
        envelope, read = self._read_again(content_type, kept, body)
        if isinstance(read, Lead):
            arrival = self.intake.arrival(read, envelope, source=source)
            self._acts.release(id_, arrival, now=self._now(), who=who)
        return read

    def discard_quarantined(self, ids: Sequence[str], *, who: Who) -> int:
        """Give up quarantined bodies; gives how many."""
        return self._acts.discard_quarantined(ids, now=self._now(), who=who)

    def find_person(self, email: str) -> list[str]:
        """Give the ids of everything that holds an e-mail address."""
        key = person_key(self.store, email)
        local, _, domain = email.strip().rpartition("@")
        if key is None or not local or not domain:
            msg = "Give a whole e-mail address, such as someone@contoso.com."
            raise NotPossible(msg)
        return self._acts.find_person(email.strip(), key)

    def erase(self, ids: Sequence[str], *, who: Who) -> list[dict[str, Any]]:
        """Forget who these leads were; gives the destinations that still hold them, with record ids."""
        return self._acts.erase(ids, now=self._now(), who=who)

    def purge(self, *, who: Who) -> dict[str, int]:
        """Delete what retention says; gives how much of each."""
        now, kept = self.now(), self.settings.retention
        tests = self.settings.test_leads.keep_days

        def days_ago(days: float) -> int:
            return to_ms(now - timedelta(days=days))

        return self._acts.purge(
            leads=days_ago(kept.leads_days),
            tests=days_ago(tests),
            bodies=days_ago(kept.quarantine_days),
            tries=days_ago(kept.attempts_days),
            keys=days_ago(self.settings.duplicates.window_hours / 24),
            now=to_ms(now),
            who=who,
        )
