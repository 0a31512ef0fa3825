"""Problems: the remediation log, with what mends each, and what is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from app.operations import NotPossible
from app.store.tables import State
from app.web.console.asking import said
from app.web.console.guards import who

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as Answer

    from app.wiring import Wiring

PAGE = 50
NOTE = 500  # letters
LOG = "console.problems"


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the log, its history, and what its buttons do."""
    operations = wiring.operations

    @blueprint.get("/problems")
    def problems() -> str:
        return render_template("console/problems.html", problems=operations.problems(), checks=operations.checks())

    @blueprint.get("/problems/history")
    def problem_history() -> str:
        rows = operations.closed_problems(before=request.args.get("before"), limit=PAGE)
        older = rows[-1]["id"] if len(rows) == PAGE else None
        return render_template("console/problem_history.html", problems=rows, older=older)

    _add_tries(blueprint, wiring)
    _add_notes(blueprint, wiring)


def _add_tries(blueprint: Blueprint, wiring: Wiring) -> None:
    operations = wiring.operations

    @blueprint.post("/problems/check")
    @said(LOG)
    def problem_check() -> Answer:
        found = operations.check(request.form.get("destination", ""), who=who())
        if found["ok"]:
            flash(f"{found['name']}: connected. {found['detail']} What waits is tried now.", "success")
        else:
            flash(f"{found['name']}: {found['title']}. {found['detail']}", "danger")
        return _back()

    @blueprint.post("/problems/replay")
    @said(LOG)
    def problem_replay() -> Answer:
        destination, code = request.form.get("destination", ""), request.form.get("code") or None
        operations.see_configured(destination)
        found = operations.select(
            ids=(), destination=destination, code=code, since=None, states=[State.DUE, State.DEAD]
        )
        number = operations.replay(found, who=who(request.form.get("why", "")[:NOTE]))
        flash(
            f"{number:,} {'delivery is' if number == 1 else 'deliveries are'} tried again at {destination}.", "success"
        )
        return _back()


def _add_notes(blueprint: Blueprint, wiring: Wiring) -> None:
    operations = wiring.operations

    @blueprint.post("/problems/<id>/acknowledge")
    @said(LOG, whole=True)
    def problem_acknowledge(id: str) -> Answer:  # noqa: A002  (the address's word)
        operations.acknowledge(id, note=request.form.get("note", "").strip()[:NOTE], who=who())
        flash("Noted: nobody is reminded of this problem any more.", "success")
        return _back()

    @blueprint.post("/problems/<id>/steps")
    @said(LOG, whole=True)
    def problem_tick(id: str) -> Answer:  # noqa: A002
        if "step" in request.form and "done" in request.form:  # one box, by the page's script
            operations.tick(id, _number(request.form["step"]), done=request.form["done"] == "yes", who=who())
            return _back()
        row = next((one for one in operations.problems() if one["id"] == id), None)
        if row is None:
            msg = "This problem is over."
            raise NotPossible(msg)
        wanted = {_number(one) for one in request.form.getlist("step")}
        for step in range(1, len(row["remedy"]) + 1):
            if (step in wanted) != (step in row["done"]):
                operations.tick(id, step, done=step in wanted, who=who())
        return _back()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0  # noqa: PLR2004  (no step has more)


def _back() -> Answer:
    return redirect(url_for(LOG))
