"""Test leads, trial alerts, and what an error means."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.catalogue.entry import OWNERS
from app.retry import Verdict
from app.web.api.fields import LINE, TEXT, Text
from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Nothing, Strict, each, flag, one, text, texts, uuid

part = Part("testing", "Does a lead arrive, does an alert, and what does this error mean?")


class TestLead(Strict):
    """What to send."""

    source = Text("the name of a source; else the first one's key is used", most=200, pattern=LINE)
    offer = Text("an offer as publisher.offer or its title", most=200, pattern=LINE)


class TestLeadSent(Strict):
    """Under which id it can be followed."""

    id = uuid()


class TrialAlert(Strict):
    """What became of a trial alert on one channel."""

    channel = text()
    ok = flag()
    code = text(null=True, description="The catalogue code of what is wrong.")
    title = text(null=True)
    remedy = texts()


class TrialAlerts(Strict):
    """One a channel."""

    channels = each(TrialAlert)


class ErrorText(Strict):
    """What a system said."""

    text = Text("an error's text of up to 20,000 characters", most=20_000, pattern=TEXT, required=True)


class CatalogueEntry(Strict):
    """A known error: what it means and what mends it."""

    code = text()
    title = text()
    cause = text()
    remedy = texts()
    verdict = text(enum=list(map(str, Verdict)))
    owner = text(enum=list(OWNERS))
    doc = text()
    checked = fields.String(required=True, metadata={"format": "date"})


class Explained(Strict):
    """The one entry that fits; or those that fit alike; or nothing."""

    entry = one(CatalogueEntry, null=True)
    candidates = each(CatalogueEntry)


@part.endpoint("POST", "/test-leads", body=TestLead, gives=TestLeadSent, status=201, refusal=409)
def send_test(**what: Any) -> Any:  # noqa: ANN401
    """Post a test lead to this server as Microsoft does; `GET /leads/{id}` follows it."""
    id_ = operations().send_test(who=who(), **what)
    return {"id": id_}


@part.endpoint("POST", "/test-alerts", body=Nothing, gives=TrialAlerts, refusal=409)
def send_test_alert() -> Any:  # noqa: ANN401
    """Send a trial alert on every configured channel and say what became of each."""
    return {"channels": operations().send_test_alert(who=who())}


@part.endpoint("POST", "/explain", body=ErrorText, gives=Explained, reader=True)
def explain(*, text: str) -> Any:  # noqa: ANN401
    """What an error text means, in any wording or language the catalogue knows, and what to do."""
    found = operations().explain(text)
    return {
        "entry": found.entry.as_dict() if found.entry is not None else None,
        "candidates": [entry.as_dict() for entry in found.candidates],
    }
