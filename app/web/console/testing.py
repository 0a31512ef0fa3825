"""Test leads: did mine arrive, and where is it now."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from app.operations import NotPossible
from app.store.searching import Filter
from app.store.tables import State, Status
from app.web.console.guards import who

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.wrappers import Response as Answer

    from app.operations import Operations
    from app.wiring import Wiring

LATEST = 200  # test leads looked at; as many as a publisher makes in the days they are kept
WORKER_SILENT_AFTER = 60  # seconds
# States in words for who has never heard of deliveries.
WORDS = {
    State.DUE: "waiting its turn",
    State.SENDING: "on its way",
    State.SENT: "arrived",
    State.HELD: "waiting for a repair",
    State.DEAD: "not deliverable",
    State.DISCARDED: "given up",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a test lead in one sentence, and what stands in its way at each destination."""

    kind: str  # arrived, moving, waiting, failed, nowhere
    text: str
    causes: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # problems by destination


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the page and its button."""
    operations = wiring.operations

    @blueprint.get("/test-leads")
    def testing() -> str:
        return _page(wiring)

    @blueprint.post("/test-leads")
    def testing_send() -> Answer:
        source, offer = (request.form.get(name, "").strip() or None for name in ("source", "offer"))
        try:
            id_ = operations.send_test(who=who(), source=source, offer=offer)
        except NotPossible as refused:
            flash(str(refused), "danger")
            return redirect(url_for("console.testing"))
        return redirect(url_for("console.testing", lead=id_))


def _page(wiring: Wiring) -> str:
    operations = wiring.operations
    offer = request.args.get("offer", "").strip() or None
    followed = _followed(operations, request.args.get("lead"))
    found = operations.leads(Filter(test=True, offer=offer, limit=LATEST))
    known = operations.offers()
    return render_template(
        "console/testing.html",
        followed=followed,
        verdict=judge(operations, followed) if followed else None,
        rows=by_offer(found),
        untested=untested(known, found) if offer is None else [],
        offer=offer,
        offers=known,
        sources=tuple(wiring.settings.sources),
        words=WORDS,
        keep_days=wiring.settings.test_leads.keep_days,
    )


def _followed(operations: Operations, id_: str | None) -> dict[str, Any] | None:
    if not id_:
        return None
    try:
        return operations.show(id_)
    except NotPossible as gone:
        flash(str(gone), "warning")
        return None


def by_offer(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the latest test lead of each offer, in the order they came, with how many there are of it."""
    rows: dict[str | None, dict[str, Any]] = {}
    for lead in found:
        row = rows.setdefault(lead["offer"], {"offer": lead["offer"], "lead": lead, "number": 0})
        row["number"] += 1
    return list(rows.values())


def untested(known: list[str], found: list[dict[str, Any]]) -> list[str]:
    """Give the offers without a test lead; none where there are too many test leads to say."""
    if len(found) == LATEST:
        return []
    tested = {lead["offer"] for lead in found}
    return [offer for offer in known if offer not in tested]


def judge(operations: Operations, lead: dict[str, Any]) -> Verdict:
    """Say in plain words where a test lead is and what keeps it."""
    deliveries = {one["destination"]: one for one in lead["deliveries"]}
    if not deliveries:
        return Verdict(kind="nowhere", text=_nowhere(lead))
    open_ = {name: one for name, one in deliveries.items() if one["state"] != State.SENT}
    if not open_:
        return Verdict(kind="arrived", text=f"Arrived everywhere in {_seconds(lead):.1f} s.")
    causes = _causes(operations, open_)
    given_up = [name for name, one in open_.items() if one["state"] == State.DISCARDED]
    dead = [name for name, one in open_.items() if one["state"] == State.DEAD]
    if dead:
        return Verdict(kind="failed", text=_told("Not deliverable at", dead, causes), causes=causes)
    if causes:
        return Verdict(kind="waiting", text=_told("Waiting at", list(causes), causes), causes=causes)
    if len(given_up) == len(open_):
        return Verdict(kind="failed", text=f"Given up at {', '.join(given_up)}, because a person said so.")
    return _moving(operations, [name for name in open_ if name not in given_up])


def _moving(operations: Operations, names: list[str]) -> Verdict:
    silent = operations.worker_silent_for()
    if silent is None or silent > WORKER_SILENT_AFTER:
        text = f"Kept, and due at {', '.join(names)}, but no worker is running: `leadwire serve` starts one."
        return Verdict(kind="waiting", text=text)
    return Verdict(kind="moving", text=f"On its way to {', '.join(names)}.")


def _nowhere(lead: dict[str, Any]) -> str:
    if lead["status"] == Status.ACCEPTED:
        return "Kept, and delivered nowhere: [test_leads] or [[routes]] send it to no destination."
    return f"It came in and was {lead['status']}: nothing is delivered of it."


def _causes(operations: Operations, open_: dict[str, dict[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Find what keeps a lead: the problem of its own latest failure, else what its destination is stopped for."""
    problems = operations.problems()
    causes: dict[str, Mapping[str, Any]] = {}
    for name, one in open_.items():
        codes = [tried["code"] for tried in one["attempts"] if tried["code"]]
        here = [problem for problem in problems if problem["destination"] == name]
        own = [problem for problem in here if codes and problem["code"] == codes[-1]]
        stopped = [problem for problem in here if problem["held"]]
        if one["state"] != State.DISCARDED and (own or stopped):
            causes[name] = (own or stopped)[0]
    return causes


def _told(begin: str, names: list[str], causes: dict[str, Mapping[str, Any]]) -> str:
    parts = [f"{name}: {causes[name]['title']}" if name in causes else name for name in names]
    return f"{begin} {'; '.join(parts)}."


def _seconds(lead: dict[str, Any]) -> float:
    """Tell how long a lead that arrived everywhere took."""
    ends = [tried["at"] for one in lead["deliveries"] for tried in one["attempts"] if tried["code"] is None]
    took = datetime.fromisoformat(max(ends)) - datetime.fromisoformat(lead["received_at"]) if ends else None
    return took.total_seconds() if took else 0.0
