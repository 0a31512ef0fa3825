"""Leads: what came in, filtered by the address, searched, and exported."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, flash, redirect, render_template, request, stream_with_context, url_for

from app.operations import NotPossible
from app.store.searching import Filter
from app.store.tables import State, Status, to_ms
from app.web.console import lead
from app.web.console.guards import viewer_zone
from app.web.console.readable import readable, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from werkzeug.wrappers import Response as Answer

    from app.operations import Operations
    from app.wiring import Wiring

PAGE = 50  # leads a page
PORTION = 1000  # leads a query of the export
FILTERS = ("state", "test", "source", "offer", "destination", "since", "until", "person")
STATES = tuple(dict.fromkeys([*map(str, Status), *map(str, State)]))
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PERSON = re.compile(r"[0-9a-f]{32}")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
# Spreadsheets run what begins with these as a formula, full-width forms too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
COLUMNS = ("id", "received_at", "status", "test", "source", "lead_source", "action_code", "offer", "duplicate_of")


class WrongFilter(Exception):  # noqa: N818  (it is an answer to a person)
    """A filter that can't be used; the message says which, what was found and what is allowed."""


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the list, its search and its export, and one lead's page."""
    operations = wiring.operations
    lead.register(blueprint, wiring)
    blueprint.add_app_template_filter(readable)
    blueprint.add_app_template_filter(visible)

    @blueprint.get("/leads")
    def leads() -> str:
        return _page(wiring, request.args)

    @blueprint.get("/leads.csv")
    def leads_export() -> Answer:
        try:
            wanted = read_filter(request.args, operations=operations, zone=viewer_zone())
        except WrongFilter as wrong:
            flash(str(wrong), "warning")
            return redirect(url_for("console.leads"))
        first = operations.leads(replace(wanted, limit=PORTION, before=None))  # fails before the answer begins
        lines = export(first, wanted, operations=operations, destinations=tuple(wiring.settings.destinations))
        name = f"leads-{operations.now():%Y-%m-%d}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(stream_with_context(lines), 200, headers, content_type="text/csv; charset=utf-8")

    @blueprint.post("/leads/search")
    def leads_search() -> Answer | str:
        try:
            return redirect(_found(operations, request.form.get("q", "").strip()))
        except NotPossible as nothing:
            # No redirect: what was typed may name a person, and an address is written in many logs.
            flash(str(nothing), "warning")
            return _page(wiring, {})


def _page(wiring: Wiring, given: Mapping[str, str]) -> str:
    """Render the list; a filter that can't be used is said, and nothing is listed under it."""
    operations, wrong, found = wiring.operations, None, []
    try:
        wanted = read_filter(given, operations=operations, zone=viewer_zone())
        found = operations.leads(wanted)
    except WrongFilter as exc:
        wrong = str(exc)
    kept = {name: given[name] for name in FILTERS if given.get(name, "").strip()}
    return render_template(
        "console/leads.html",
        leads=found,
        wrong=wrong,
        kept=kept,
        narrowed=[name for name in kept if name != "person"],
        before=given.get("before"),
        older=found[-1]["id"] if len(found) == PAGE else None,
        states=STATES,
        sources=tuple(wiring.settings.sources),
        destinations=tuple(wiring.settings.destinations),
        offers=operations.offers(),
    )


def read_filter(given: Mapping[str, str], *, operations: Operations, zone: ZoneInfo) -> Filter:
    """Make the filter that an address asks for; days are the viewer's.

    Raises:
        WrongFilter: a value that can't be used.

    """
    values = {name: given.get(name, "").strip() or None for name in (*FILTERS, "before")}
    values["state"] = values["state"] or given.get("status", "").strip() or None
    return Filter(
        state=_one_of("state", values["state"], STATES),
        test={"yes": True, "no": False, None: None}[_one_of("test", values["test"], ("yes", "no"))],
        source=values["source"],
        offer=values["offer"],
        destination=values["destination"],
        since=_moment("since", values["since"], now=operations.now(), zone=zone),
        until=_moment("until", values["until"], now=operations.now(), zone=zone),
        person=_shaped("person", values["person"], PERSON, "what the search for an address leads to"),
        before=_shaped("before", values["before"], ID, "a lead's id"),
        limit=PAGE,
    )


def _one_of(name: str, value: str | None, allowed: Iterable[str]) -> str | None:
    if value is not None and value not in allowed:
        msg = f"{name}: found {value[:40]!r}; allowed: {', '.join(allowed)}."
        raise WrongFilter(msg)
    return value


def _shaped(name: str, value: str | None, shape: re.Pattern[str], allowed: str) -> str | None:
    if value is not None and not shape.fullmatch(value):
        msg = f"{name}: found {value[:40]!r}; allowed: {allowed}."
        raise WrongFilter(msg)
    return value


def _moment(name: str, value: str | None, *, now: datetime, zone: ZoneInfo) -> int | None:
    """Read a day, a moment or how long ago; a day given as `until` counts whole."""
    if value is None:
        return None
    ago = re.fullmatch(r"(\d{1,5})([mhd])", value)
    if ago:
        return to_ms(now - timedelta(**{UNITS[ago[2]]: int(ago[1])}))
    try:
        moment = datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        whole_day = name == "until" and re.fullmatch(r"\d{4}-?\d\d-?\d\d", value)
        return to_ms(moment + timedelta(days=1)) if whole_day else to_ms(moment)
    except (ValueError, OverflowError):
        msg = f"{name}: found {value[:40]!r}; allowed: 2026-11-20, 2026-11-20T23:51, or how long ago as 30m, 2h, 7d."
        raise WrongFilter(msg) from None


def _found(operations: Operations, text: str) -> str:
    """Give the address of what a search means: a person, one lead, an offer.

    Raises:
        NotPossible: nothing is called that.

    """
    if not text:
        return url_for("console.leads")
    if "@" in text.strip("@"):
        return url_for("console.leads", person=operations.person_mark(text))
    if ID.fullmatch(text.lower()):
        operations.show(text.lower())
        return url_for("console.lead", id=text.lower())
    offer = _offer(operations.offers(), text)
    if offer is None:
        msg = (
            "No lead has that id, and no offer is called that. A person is found by the whole e-mail address, "
            "such as someone@contoso.com; names are not searched."
        )
        raise NotPossible(msg)
    return url_for("console.leads", offer=offer)


def _offer(known: Sequence[str], text: str) -> str | None:
    """Give what to filter by if it fits a known offer: its own name, a pattern as typed, or a part of several."""
    for offer in known:
        if offer.casefold() == text.casefold():
            return offer
    part = text if "*" in text else f"*{text}*"
    shape = re.compile(".*".join(map(re.escape, part.split("*"))), re.IGNORECASE | re.DOTALL)
    fitting = [offer for offer in known if shape.fullmatch(offer)]
    return fitting[0] if len(fitting) == 1 else part if fitting else None


def export(
    rows: list[dict[str, Any]], wanted: Filter, *, operations: Operations, destinations: tuple[str, ...]
) -> Iterator[str]:
    """Write leads as CSV, portion by portion; nothing personal, and no cell that a spreadsheet would run."""
    yield "\ufeff"  # spreadsheets take a file without it for the machine's old alphabet
    yield _line([*COLUMNS, *destinations, "other destinations"])
    while rows:
        for row in rows:
            yield _line([*(row.get(name) for name in COLUMNS), *_states(row["deliveries"], destinations)])
        last = rows[-1]["id"]
        rows = operations.leads(replace(wanted, before=last, limit=PORTION)) if len(rows) == PORTION else []


def _states(deliveries: dict[str, str], destinations: tuple[str, ...]) -> list[str]:
    others = (f"{name}: {state}" for name, state in deliveries.items() if name not in destinations)
    return [*(deliveries.get(name, "") for name in destinations), ", ".join(others)]


def _line(cells: Iterable[object]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([_cell(one) for one in cells])
    return written.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
