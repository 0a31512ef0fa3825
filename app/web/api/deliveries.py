"""Deliveries: do them again, or give them up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from app.operations import NotPossible
from app.store.tables import State
from app.web.api.fields import LINE, Flag, Moment, Text, id_, why
from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Strict, each, flag, number, text, uuid

if TYPE_CHECKING:
    from collections.abc import Sequence

part = Part("deliveries", "What is owed to destinations: deliver it again, or give it up.")
MOST_IDS = 1000
MOST_SHOWN = 1000


class Which(Strict):
    """Which deliveries; at least one of ids, destination, code and since."""

    ids = fields.List(
        id_(),
        validate=validate.Length(max=MOST_IDS),
        metadata={"allowed": f"a list of up to {MOST_IDS} ids of leads"},
        load_default=list,
    )
    destination = Text("the name of a destination", most=200, pattern=LINE)
    code = Text("a catalogue code, such as network.timeout", most=200, pattern=LINE)
    since = Moment()
    dry_run = Flag(default=False)
    why = why()


class Replaying(Which):
    """Which deliveries; `sent` also takes what was delivered already."""

    sent = Flag(default=False)


class DeliveryState(Strict):
    """A delivery as it stood when it was chosen."""

    id = uuid()
    destination = text()
    state = text(enum=list(map(str, State)))


class Changed(Strict):
    """How many deliveries were changed, or would be; the first 1,000 of those that fit."""

    dry_run = flag()
    number = number()
    deliveries = each(DeliveryState)


@part.endpoint("POST", "/deliveries/replay", body=Replaying, gives=Changed, refusal=409)
def replay(*, dry_run: bool, sent: bool, why: str = "", **which: Any) -> Any:  # noqa: ANN401
    """Deliver again what is dead, discarded or waiting, with fresh patience.

    With ids and a destination, a lead is also delivered to a destination that it was not routed to.
    """
    states = [State.DUE, State.DEAD, State.DISCARDED, *([State.SENT] if sent else [])]
    destination = which.get("destination")
    if destination is not None:
        operations().see_configured(destination)
    found = _select(which, states)
    if dry_run:
        return _changed(found, len(found), dry_run=True)
    added = 0
    if destination is not None:
        added = sum(operations().deliver_also(one, destination, who=who(why)) for one in which["ids"])
    return _changed(found, added + operations().replay(found, who=who(why)), dry_run=False)


@part.endpoint("POST", "/deliveries/discard", body=Which, gives=Changed, refusal=409)
def discard(*, dry_run: bool, why: str = "", **which: Any) -> Any:  # noqa: ANN401
    """Give up deliveries that wait or are dead."""
    found = _select(which, [State.DUE, State.DEAD])
    number = len(found) if dry_run else operations().discard(found, who=who(why))
    return _changed(found, number, dry_run=dry_run)


def _select(which: dict[str, Any], states: Sequence[State]) -> list[tuple[str, str, str]]:
    if not any(which.values()):
        msg = "Say which: ids, destination, code or since."
        raise NotPossible(msg)
    given = {name: which.get(name) for name in ("destination", "code", "since")}
    return operations().select(ids=which["ids"], states=states, **given)


def _changed(found: list[tuple[str, str, str]], number: int, *, dry_run: bool) -> dict[str, Any]:
    rows = [{"id": lead, "destination": name, "state": state} for lead, name, state in found[:MOST_SHOWN]]
    return {"dry_run": dry_run, "number": number, "deliveries": rows}
