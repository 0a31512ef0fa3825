"""Problems: the remediation log, its notes and ticks, and its history."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.catalogue.entry import OWNERS
from app.web.api.fields import TEXT, Flag, Text, Whole, id_
from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Strict, each, flag, number, one, page, text, texts, time, uuid

part = Part("problems", "What is wrong and what mends it: one row a destination and cause.")


class Acknowledgement(Strict):
    """Who takes care of a problem."""

    at = time()
    by = text()
    note = text(null=True)


class OpenProblem(Strict):
    """A problem that lasts; a destination of null is Leadwire itself."""

    id = uuid(null=True)
    destination = text(null=True)
    type = text(null=True)
    code = text()
    title = text()
    since = time()
    leads_waiting = number()
    dead = number()
    held = flag()
    next_try = time(null=True)
    owner = text(enum=list(OWNERS))
    cause = text()
    remedy = texts()
    doc = text()
    status = number(null=True)
    raw_code = text(null=True)
    evidence = text(null=True)
    acknowledged = one(Acknowledgement, null=True)
    done = fields.List(
        fields.Integer(), required=True, metadata={"description": "The steps, from 1, that are ticked off."}
    )


class OpenProblems(Strict):
    """Everything that is wrong now."""

    problems = each(OpenProblem)


class ClosedProblem(Strict):
    """A problem that is over."""

    id = uuid()
    destination = text(null=True)
    code = text()
    title = text()
    since = time()
    closed_at = time()
    most_waiting = number()
    raw_code = text(null=True)
    evidence = text(null=True)
    acknowledged = one(Acknowledgement, null=True)


class ClosedProblems(Strict):
    """What is over, the latest first."""

    problems = each(ClosedProblem)
    next = text(null=True, format="uuid", description="Give it as `before` for the next page; null: this is the last.")


class HistoryQuery(Strict):
    """Which part of the history."""

    before = id_()
    limit = Whole(1, 500, default=50, in_query=True)


class Note(Strict):
    """What is being done about it."""

    note = Text("a note of up to 2,000 characters without personal data", least=0, most=2000, pattern=TEXT)


class Tick(Strict):
    """Whether a step is done."""

    done = Flag(required=True)


@part.endpoint("GET", "/problems", gives=OpenProblems, reader=True)
def problems() -> Any:  # noqa: ANN401
    """What is wrong now, with the steps that mend it."""
    return {"problems": operations().problems()}


@part.endpoint("GET", "/problems/closed", query=HistoryQuery, gives=ClosedProblems, reader=True)
def closed_problems(*, limit: int, before: str | None = None) -> Any:  # noqa: ANN401
    """What is over, the latest first."""
    return page(operations().closed_problems(before=before, limit=limit), name="problems", limit=limit)


@part.endpoint("POST", "/problems/<uuid:id>/acknowledge", body=Note, gives=None, status=204, refusal=404)
def acknowledge(*, id_: str, note: str = "") -> Any:  # noqa: ANN401
    """Say that somebody takes care of an open problem: nobody is reminded of it any more."""
    operations().acknowledge(id_, note=note, who=who())


@part.endpoint("PUT", "/problems/<uuid:id>/steps/<int(max=99):step>", body=Tick, gives=None, status=204, refusal=404)
def tick(*, id_: str, step: int, done: bool) -> Any:  # noqa: ANN401
    """Tick a step of an open problem's remedy off, or on again."""
    operations().tick(id_, step, done=done, who=who())
