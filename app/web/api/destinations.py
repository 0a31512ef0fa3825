"""Destinations: how each stands, and trying one for real."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Asked, Reason, Strict, each, flag, number, one, text, time

part = Part("destinations", "How each destination stands, and whether it can be reached.")


class Calls(Strict):
    """Calls used of those that the system allows, as it last said."""

    used = number()
    allowed = number()
    of = text(null=True)
    at = time()


class Card(Strict):
    """How a destination stands."""

    name = text()
    type = text(null=True, description="Null: the configuration has it no more.")
    state = text(enum=["flowing", "waiting", "parked", "removed"])
    waiting = number()
    oldest_waiting_at = time(null=True)
    last_sent_at = time(null=True)
    sent = number()
    calls = one(Calls, null=True)


class Cards(Strict):
    """Every destination."""

    destinations = each(Card)


class Check(Strict):
    """What came of trying a destination."""

    name = text()
    type = text()
    ok = flag()
    code = text(null=True, description="The catalogue code of what is wrong.")
    title = fields.String()
    detail = text()
    remedy = fields.List(fields.String())
    at = time()
    actor = text()


class Checks(Strict):
    """The latest check of each destination that was ever tried."""

    checks = each(Check)


@part.endpoint("GET", "/destinations", gives=Cards, reader=True)
def destinations() -> Any:  # noqa: ANN401
    """How each destination stands."""
    return {"destinations": operations().destinations()}


@part.endpoint("GET", "/checks", gives=Checks, reader=True)
def checks() -> Any:  # noqa: ANN401
    """The latest check of each destination."""
    return {"checks": list(operations().checks().values())}


@part.endpoint("POST", "/destinations/<name>/check", query=Asked, body=Reason, gives=Check, refusal=404)
def check(*, name: str, why: str = "") -> Any:  # noqa: ANN401
    """Try a destination for real, without writing a lead there; where all is well, what waits is tried at once."""
    return operations().check(name, who=who(why))
