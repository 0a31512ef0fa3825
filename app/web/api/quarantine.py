"""Quarantine: bodies that are no leads yet: look, repair, release, give up."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from marshmallow import fields
from werkzeug.exceptions import NotFound

from app.decoding import Rejection
from app.operations import NotPossible
from app.operations.leads import MASK, PERSONAL
from app.store.tables import Status
from app.web.api.fields import TEXT, Text, Whole, id_, why
from app.web.api.guard import who
from app.web.api.leads import LeadShown, shape_of_fields
from app.web.api.part import Part, operations
from app.web.api.reading import LARGEST_BODY
from app.web.api.schemas import Fault, Reason, Strict, each, flag, number, page, text, time, uuid
from app.web.problem import problem

if TYPE_CHECKING:
    from app.lead import Lead

part = Part("quarantine", "Bodies that could not be read as leads: repair and release them, or give them up.")


class QuarantineQuery(Strict):
    """Which part of the list."""

    before = id_()
    limit = Whole(1, 500, default=100, in_query=True)


class Quarantined(Strict):
    """A body that waits, without the body."""

    id = uuid()
    received_at = time()
    source = text()
    content_type = text()
    length = number()
    kept = fields.Boolean(
        required=True, metadata={"description": "False: an address of a withheld domain was in it, so it is not kept."}
    )
    status = number()
    title = text()
    detail = text()
    errors = each(Fault)


class QuarantinePage(Strict):
    """What waits, the latest first."""

    quarantined = each(Quarantined)
    next = text(null=True, format="uuid", description="Give it as `before` for the next page; null: this is the last.")


class Body(Strict):
    """A body as it is kept; what is no UTF-8 comes in base64."""

    id = uuid()
    encoding = text(enum=["utf-8", "base64"])
    body = text()


class _Repaired(Strict):
    """A body in place of the kept one."""

    why = why()


def _body(*, required: bool) -> Text:
    return Text("the whole body as text", least=0, most=LARGEST_BODY, pattern=TEXT, required=required)


class Repairing(_Repaired):
    """The repaired body."""

    body = _body(required=True)


class Releasing(_Repaired):
    """A repaired body that takes the kept one's place in the same step, if there is one."""

    body = _body(required=False)


class Previewing(Strict):
    """A body to be read in place of the kept one."""

    body = _body(required=False)


class Reading(Strict):
    """How a body reads: as a lead, or why as none."""

    ready = flag()
    title = text()
    detail = text()
    errors = each(Fault)


class Preview(Reading):
    """The same with the lead; personal values are masked unless the body came with the request."""

    lead = fields.Raw(required=True, allow_none=True, metadata=shape_of_fields())


class Discarded(Strict):
    """How many were given up."""

    number = number()


@part.endpoint("GET", "/quarantine", query=QuarantineQuery, gives=QuarantinePage, reader=True)
def quarantined(*, limit: int, before: str | None = None) -> Any:  # noqa: ANN401
    """What waits in quarantine, the latest first, without the bodies."""
    return page(operations().quarantined(limit=limit, before=before), name="quarantined", limit=limit)


@part.endpoint("GET", "/quarantine/<uuid:id>/body", gives=Body, refusal=409)
def quarantined_body(*, id_: str) -> Any:  # noqa: ANN401
    """The body that is kept; that is recorded in the audit, for it may name a person."""
    _see(id_)
    body = operations().quarantined_body(id_, who=who())
    try:
        return {"id": id_, "encoding": "utf-8", "body": body.decode()}
    except UnicodeDecodeError:
        return {"id": id_, "encoding": "base64", "body": base64.b64encode(body).decode()}


@part.endpoint("PUT", "/quarantine/<uuid:id>/body", body=Repairing, gives=Reading, refusal=409)
def repair(*, id_: str, body: str, why: str = "") -> Any:  # noqa: ANN401
    """Put another body in place of a quarantined one; it stays in quarantine, and the answer says how it reads."""
    _see(id_)
    return _reading(operations().repair(id_, body=body.encode(), who=who(why)))


@part.endpoint("POST", "/quarantine/<uuid:id>/preview", body=Previewing, gives=Preview, refusal=409)
def preview(*, id_: str, body: str | None = None) -> Any:  # noqa: ANN401
    """How the kept body reads, or another one in its place; changes nothing."""
    _see(id_)
    read = operations().preview(id_, body=None if body is None else body.encode())
    return {**_reading(read), "lead": _lead(read, in_clear=body is not None)}


@part.endpoint("POST", "/quarantine/<uuid:id>/release", body=Releasing, gives=LeadShown, refusal=409)
def release(*, id_: str, body: str | None = None, why: str = "") -> Any:  # noqa: ANN401
    """Let a body flow as the lead it holds, under its id; 409 with `errors` where it is none."""
    _see(id_)
    read = operations().release(id_, who=who(why), body=None if body is None else body.encode())
    if isinstance(read, Rejection):
        return problem(409, read.title, f"{read.detail} Nothing was changed.", errors=read.errors)
    return operations().show(id_)


@part.endpoint("POST", "/quarantine/<uuid:id>/discard", body=Reason, gives=Discarded)
def discard_quarantined(*, id_: str, why: str = "") -> Any:  # noqa: ANN401
    """Give up a quarantined body: it is deleted."""
    _see(id_)
    return {"number": operations().discard_quarantined([id_], who=who(why))}


def _see(id_: str) -> None:
    """Answer 404 where nothing is quarantined under an id."""
    try:
        status = operations().show(id_)["status"]
    except NotPossible:
        raise NotFound from None
    if status != Status.QUARANTINED:
        raise NotFound


def _reading(read: Lead | Rejection) -> dict[str, Any]:
    if isinstance(read, Rejection):
        return {"ready": False, "title": read.title, "detail": read.detail, "errors": read.errors}
    return {"ready": True, "title": "It reads as a lead", "detail": "It can be released.", "errors": []}


def _lead(read: Lead | Rejection, *, in_clear: bool) -> dict[str, Any] | None:
    if isinstance(read, Rejection):
        return None
    lead = read.as_dict()
    hidden = [] if in_clear else [name for name in PERSONAL if lead[name]]
    return {**lead, **dict.fromkeys(hidden, MASK)}
