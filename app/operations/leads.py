"""Leads: find, look, show what is personal, deliver again, give up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.operations.base import SEAL_BROKEN, Base, NotPossible
from app.store.acts import Selection
from app.store.sealing import SealBroken
from app.store.tables import State, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.store.acts import Who
    from app.store.searching import Filter

MASK = "•••"
# What may name a person or be written by one; the rest of the normal form is about the offer.
PERSONAL = ("first_name", "last_name", "email", "phone", "company", "title", "description", "campaign", "extra")


class Leads(Base):
    """The verbs of leads and their deliveries."""

    def leads(self, wanted: Filter) -> list[dict[str, Any]]:
        """What came in, newest first; nothing personal."""
        return self._views.leads(wanted)

    def offers(self) -> list[str]:
        """Every offer there is a lead of."""
        return self._views.offers()

    def person_mark(self, email: str) -> str:
        """Give the keyed hash under which a person's leads are found, in hex.

        Raises:
            NotPossible: that is no whole address.

        """
        return self._person_key(email).hex()

    def show(self, id_: str) -> dict[str, Any]:
        """One lead and what became of it, personal fields masked; `masked` names them.

        Raises:
            NotPossible: no such lead.

        """
        found = self._lead(id_)
        return {**found, **_masked(found["lead"], shown=())}

    def reveal(self, id_: str, *, who: Who, fields: Sequence[str] | None = None) -> dict[str, Any]:
        """The same with these personal fields (None: all of them) in clear; that is recorded.

        Raises:
            NotPossible: no such lead or field.

        """
        found = self._lead(id_)
        wanted = PERSONAL if fields is None else tuple(fields)
        for name in wanted:
            if name not in PERSONAL:
                msg = f"{name!r} is no personal field; there are: {', '.join(PERSONAL)}."
                raise NotPossible(msg)
        there = [name for name in wanted if (found["lead"] or {}).get(name)]
        if there:
            self._acts.record("reveal", f"{id_} {','.join(there)}", now=self._now(), who=who)
        return {**found, **_masked(found["lead"], shown=wanted)}

    def _lead(self, id_: str) -> dict[str, Any]:
        try:
            found = self._views.show(id_)
        except SealBroken as exc:
            raise NotPossible(SEAL_BROKEN.format(exc)) from None
        if found is None:
            msg = f"There is no lead {id_}."
            raise NotPossible(msg)
        for delivery in found["deliveries"]:
            for tried in delivery["attempts"]:
                tried["title"] = self.catalogue.get(tried["code"]).title if tried["code"] else None
        return {**found, "acts": self._views.audit(before=None, limit=100, target=id_)}

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
            msg = "Say which: ids, or a destination, a code, a time since when."
            raise NotPossible(msg)
        for id_ in ids:
            self._lead(id_)
        selection = Selection(
            ids=tuple(ids), destination=destination, code=code, since=since, states=tuple(str(one) for one in states)
        )
        return self._acts.find(selection)

    def replay(self, found: Sequence[tuple[str, str, str]], *, who: Who) -> int:
        """Deliver again, with fresh patience; gives how many deliveries."""
        return self._acts.replay(found, now=self._now(), who=who)

    def deliver_also(self, id_: str, destination: str, *, who: Who) -> bool:
        """Deliver a lead to a configured destination that it was not routed to.

        Raises:
            NotPossible: no such destination, or the lead has nothing that could be delivered.

        """
        self.see_configured(destination)
        lead = self._lead(id_)
        if lead["status"] != Status.ACCEPTED:
            msg = f"Lead {id_} is {lead['status']}: there is nothing to deliver."
            raise NotPossible(msg)
        return self._acts.add_delivery(id_, destination, now=self._now(), who=who)

    def discard(self, found: Sequence[tuple[str, str, str]], *, who: Who) -> int:
        """Give up deliveries; gives how many."""
        return self._acts.discard(found, now=self._now(), who=who)


def _masked(lead: dict[str, Any] | None, *, shown: Iterable[str]) -> dict[str, Any]:
    """Give `lead` with a mask over what is personal and not to be shown, and the names of what is `masked`."""
    if lead is None:
        return {"lead": None, "masked": []}
    hidden = [name for name in PERSONAL if lead.get(name) and name not in shown]
    return {"lead": {**lead, **dict.fromkeys(hidden, MASK)}, "masked": hidden}
