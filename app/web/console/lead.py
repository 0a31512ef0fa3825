"""One lead: what became of it, its fields when a person asks to see them, and what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for

from app.operations import NotPossible
from app.store.tables import State
from app.web.console.asking import reasoned, said
from app.web.console.guards import who

if TYPE_CHECKING:
    from collections.abc import Sequence

    from werkzeug.wrappers import Response as Answer

    from app.operations import Operations
    from app.wiring import Wiring

REPLAYED = (State.DUE, State.DEAD, State.DISCARDED, State.SENT)  # one button, one delivery: sent ones as well
DISCARDED = (State.DUE, State.DEAD)
MOVING = (State.DUE, State.SENDING)  # what a page of it goes on watching


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add one lead's page and what its buttons do."""
    operations = wiring.operations

    @blueprint.get("/leads/<id>")
    def lead(id: str) -> str:  # noqa: A002  (the address's word)
        try:
            return _page(wiring, operations.show(id))
        except NotPossible:
            abort(404)

    @blueprint.post("/leads/<id>/reveal")
    @said("console.lead")
    def lead_reveal(id: str) -> str:  # noqa: A002
        fields = request.form.getlist("field") or None
        return _page(wiring, operations.reveal(id, who=who(), fields=fields), revealed=fields or ())

    @blueprint.post("/leads/<id>/replay")
    @said("console.lead")
    def lead_replay(id: str) -> Answer:  # noqa: A002
        found = _deliveries(operations, id, REPLAYED)
        number = operations.replay(found, who=reasoned())
        return _done(id, f"{_counted(number)} due now." if number else "Nothing to replay: it moved on meanwhile.")

    @blueprint.post("/leads/<id>/discard")
    @said("console.lead")
    def lead_discard(id: str) -> Answer:  # noqa: A002
        found = _deliveries(operations, id, DISCARDED)
        number = operations.discard(found, who=reasoned())
        return _done(id, f"{_counted(number)} given up." if number else "Nothing to give up: it moved on meanwhile.")

    @blueprint.post("/leads/<id>/deliver")
    @said("console.lead")
    def lead_deliver(id: str) -> Answer:  # noqa: A002
        destination = request.form.get("destination", "")
        new = operations.deliver_also(id, destination, who=reasoned())
        return _done(id, f"It is due at {destination} now." if new else f"{destination} was to have it already.")

    @blueprint.post("/leads/<id>/erase")
    @said("console.lead")
    def lead_erase(id: str) -> str:  # noqa: A002
        email = request.form.get("email")
        if email is None or request.form.get("sure") != "yes":
            return _sure(operations, id)
        ids = operations.find_person(email) if email else [id]
        there = request.form.get("destinations") == "yes"
        told = operations.erase(sorted({id, *ids}), who=reasoned(), email=email or None, destinations=there)
        return render_template("console/_lead_erased.html", id=id, told=told)

    for rule, endpoint in (("reveal", "lead_revealed"), ("erase", "lead_erased")):
        _only_by_post(blueprint, f"/leads/<id>/{rule}", endpoint)


def _only_by_post(blueprint: Blueprint, rule: str, endpoint: str) -> None:
    """Lead whoever reloads what is shown once, or comes back by its address, to the page it was asked from."""

    def back(id: str) -> Answer:  # noqa: A002
        return redirect(url_for("console.lead", id=id))

    blueprint.add_url_rule(rule, endpoint, back, methods=["GET"])


def _page(wiring: Wiring, found: dict[str, Any], *, revealed: Sequence[str] = ()) -> str:
    """Render one lead; whatever of it is not masked in `found` is shown, and `revealed` with the next field too."""
    operations = wiring.operations
    waiting = [one["destination"] for one in found["deliveries"] if one["state"] in (State.DUE, State.HELD)]
    causes = {one["destination"]: one for one in operations.problems()} if waiting else {}
    there = {one["destination"] for one in found["deliveries"]}
    return render_template(
        "console/lead.html",
        lead=found,
        events=timeline(found),
        causes={name: causes[name] for name in waiting if name in causes},
        # What is shown once can't be asked for again: a page of it stands still.
        moving=request.method == "GET" and any(one["state"] in MOVING for one in found["deliveries"]),
        others=[name for name in wiring.settings.destinations if name not in there],
        revealed=revealed,
    )


def timeline(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what happened to a lead in its order: `at`, `what`, and what each kind of event knows besides."""
    tries = [
        {**attempt, "what": "attempt", "destination": one["destination"], "remote_id": one["remote_id"]}
        for one in found["deliveries"]
        for attempt in one["attempts"]
    ]
    acts = [{**act, "what": "act"} for act in found["acts"]]
    came = {"at": found["received_at"]}
    return [
        {**came, "what": "received"},
        {**came, "what": "classified"},
        *sorted((*tries, *acts), key=lambda event: str(event["at"])),
    ]


def _sure(operations: Operations, id_: str) -> str:
    """Ask before a person is forgotten; who that is has to be read, so it is recorded as shown."""
    found = operations.reveal(id_, who=who(), fields=["email"])
    email = (found["lead"] or {}).get("email")
    ids = operations.find_person(email) if email else [id_]
    return render_template("console/_lead_erase.html", lead=found, email=email, ids=sorted({id_, *ids}))


def _done(id_: str, message: str) -> Answer:
    flash(message, "success")
    return redirect(url_for("console.lead", id=id_))


def _counted(number: int) -> str:
    return "The delivery is" if number == 1 else f"{number} deliveries are"


def _deliveries(operations: Operations, id_: str, states: tuple[State, ...]) -> list[tuple[str, str, str]]:
    """Find the deliveries of a lead that a button means: its destination's, or all."""
    destination = request.form.get("destination") or None
    return operations.select(ids=[id_], destination=destination, code=None, since=None, states=states)
