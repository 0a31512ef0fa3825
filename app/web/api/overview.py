"""Overview: are leads flowing, and if not, what is wrong?"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from marshmallow import fields

from app.web.api.destinations import Card
from app.web.api.fields import Choice, Whole
from app.web.api.part import Part, operations
from app.web.api.problems import OpenProblem
from app.web.api.schemas import Strict, each, number, text, texts, time

part = Part("overview", "Are leads flowing?")


class OverviewQuery(Strict):
    """How many days, and where a day begins."""

    days = Whole(1, 366, default=14, in_query=True)
    zone = Choice(sorted({"UTC", *available_timezones()}))


class Day(Strict):
    """What came in on one day."""

    day = text(format="date")
    accepted = number()
    test = number()
    duplicate = number()
    withheld = number()
    quarantined = number()


class Overview(Strict):
    """Days, oldest first and every one there; destinations; problems; what else needs a look."""

    days = each(Day)
    destinations = each(Card)
    problems = each(OpenProblem)
    quarantined = number()
    last_lead_at = time(null=True)
    worker_silent_seconds = fields.Float(
        required=True, allow_none=True, metadata={"description": "Null: none was ever seen."}
    )
    alerts_failing = number()


class Offers(Strict):
    """Names of offers."""

    offers = texts()


@part.endpoint("GET", "/overview", query=OverviewQuery, gives=Overview, reader=True)
def overview(*, days: int, zone: str = "UTC") -> Any:  # noqa: ANN401
    """Leads a day, each destination, and what is wrong, at one glance."""
    return operations().overview(days=days, zone=ZoneInfo(zone))


@part.endpoint("GET", "/offers", gives=Offers, reader=True)
def offers() -> Any:  # noqa: ANN401
    """Every offer that there is a lead of."""
    return {"offers": operations().offers()}
