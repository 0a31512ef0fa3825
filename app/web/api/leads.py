"""Leads: find, look, show what is personal, forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import request
from marshmallow import fields, validate

from app.lead import Lead
from app.operations.leads import PERSONAL
from app.store.searching import Filter
from app.store.tables import State, Status
from app.web.api.audit import Act
from app.web.api.fields import LINE, Choice, Flag, Moment, Text, Whole, email, id_
from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Reason, Strict, each, flag, number, page, text, time, uuid

if TYPE_CHECKING:
    from collections.abc import Mapping

part = Part("leads", "What came in, and what became of it.")
STATES = tuple(dict.fromkeys(map(str, (*Status, *State))))
LIMIT = 100


class _Conditions(Strict):
    """Which leads; the filters that are text wherever they stand."""

    state = Choice(STATES)
    since = Moment()
    until = Moment()
    source = Text("the name of a source", most=200, pattern=LINE)
    offer = Text("an offer as publisher.offer or its title, * for anything", most=400, pattern=LINE)
    destination = Text("the name of a destination", most=200, pattern=LINE)
    before = id_()


class LeadsQuery(_Conditions):
    """The filters in an address; `person` is the mark that a search by e-mail address gives."""

    test = Flag(in_query=True)
    person = Text("the mark of a person, 32 hex digits", least=32, most=32, pattern="[0-9a-f]{32}")
    limit = Whole(1, 500, default=LIMIT, in_query=True)


class LeadsSearch(_Conditions):
    """The same in a body, with an e-mail address."""

    email = email()
    test = Flag()
    limit = Whole(1, 500, default=LIMIT)


class LeadFacts(Strict):
    """What a lead was taken for; nothing personal."""

    id = uuid()
    status = text(enum=list(map(str, Status)))
    test = flag()
    received_at = time()
    source = text()
    lead_source = text(null=True)
    action_code = text(null=True)
    offer = text(null=True)
    duplicate_of = fields.String(metadata={"format": "uuid"})
    email_domain = fields.String(metadata={"description": "Of withheld leads only."})


class LeadSummary(LeadFacts):
    """One lead as a list has it."""

    deliveries = fields.Dict(
        fields.String(),
        fields.String(metadata={"enum": list(map(str, State))}),
        required=True,
        metadata={"description": "States by destination."},
    )


class LeadPage(Strict):
    """Leads, newest first."""

    leads = each(LeadSummary)
    next = text(null=True, format="uuid", description="Give it as `before` for the next page; null: this is the last.")


class LeadSearchPage(LeadPage):
    """Leads of a person, newest first."""

    person = text(description="The person's mark, for `GET /leads?person=`.")


class Attempt(Strict):
    """One try to deliver."""

    at = time()
    code = text(null=True, description="The catalogue code of what went wrong; null: it was sent.")
    title = text(null=True)
    status = number(null=True)
    raw_code = text(null=True)
    verdict = text()
    duration_ms = number()


class LeadDelivery(Strict):
    """How a lead stands at one destination."""

    destination = text()
    state = text(enum=list(map(str, State)))
    remote_id = text(null=True)
    attempts = each(Attempt)


def shape_of_fields() -> dict[str, Any]:
    """Describe the normal form of a lead in which personal values may be masked; null: nothing of it is kept."""
    masked = {"oneOf": [{"type": "object"}, {"const": "•••"}]}
    plain = {"type": ["string", "null"]}
    names = Lead().as_dict()
    kinds = {name: masked if name in ("campaign", "extra") else plain for name in names}
    return {"type": "object", "properties": kinds, "additionalProperties": False}


class LeadShown(LeadFacts):
    """One lead with what was sent, and every try."""

    lead = fields.Raw(
        required=True,
        allow_none=True,
        metadata={
            **shape_of_fields(),
            "description": "The normal form; `•••` stands for a personal value. Null: nothing of it is kept.",
        },
    )
    masked = fields.List(
        fields.String(metadata={"enum": list(PERSONAL)}),
        required=True,
        metadata={"description": "The fields that have a value which is not shown."},
    )
    deliveries = each(LeadDelivery)
    acts = each(Act)


class Revealing(Reason):
    """Which personal fields to show; none named: all of them."""

    names = fields.List(
        Choice(PERSONAL),
        data_key="fields",
        validate=validate.Length(max=len(PERSONAL)),
        metadata={"allowed": f"a list of personal fields, of {', '.join(PERSONAL)}"},
    )


@part.endpoint("GET", "/leads", query=LeadsQuery, gives=LeadPage, reader=True)
def leads(**conditions: Any) -> Any:  # noqa: ANN401
    """What came in, newest first."""
    found = _page(conditions)
    return found, _link(found["next"])


@part.endpoint("POST", "/leads/search", body=LeadsSearch, gives=LeadSearchPage, reader=True, refusal=409)
def search_leads(*, email: str, **conditions: Any) -> Any:  # noqa: ANN401
    """The leads of an e-mail address, newest first; the address stands in no URL and in no log."""
    person = operations().person_mark(email)
    return {**_page({**conditions, "person": person}), "person": person}


@part.endpoint("GET", "/leads/<uuid:id>", gives=LeadShown, reader=True, refusal=404)
def show(*, id_: str) -> Any:  # noqa: ANN401
    """One lead with every try to deliver it; personal fields are masked."""
    return operations().show(id_)


@part.endpoint("POST", "/leads/<uuid:id>/reveal", body=Revealing, gives=LeadShown, refusal=404)
def reveal(*, id_: str, why: str = "", names: list[str] | None = None) -> Any:  # noqa: ANN401
    """The same with personal fields in clear; that is recorded in the audit."""
    return operations().reveal(id_, who=who(why), fields=names)


def _page(conditions: dict[str, Any]) -> Mapping[str, Any]:
    wanted = Filter(**conditions)
    return page(operations().leads(wanted), name="leads", limit=wanted.limit)


def _link(following: str | None) -> dict[str, str]:
    """Give the header that leads to the next page (RFC 8288)."""
    if following is None:
        return {}
    asked = {**request.args.to_dict(), "before": following}
    return {"Link": f'<{request.path}?{urlencode(asked)}>; rel="next"'}
