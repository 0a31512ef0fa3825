"""Audit: who did what, and why."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.web.api.fields import LARGEST_ID, LINE, Text, Whole
from app.web.api.part import Part, operations
from app.web.api.schemas import Strict, each, flag, number, one, page, text, time

HEAD = "[0-9]{1,18}:[0-9a-f]{64}"
part = Part("audit", "Who did what, and why.")


class Act(Strict):
    """Something that somebody did."""

    id = fields.Integer(required=True)
    at = time()
    actor = text()
    action = text()
    target = text()
    why = text()


class AuditQuery(Strict):
    """Which acts; `target` fits what begins with it."""

    target = Text("the beginning of a target, such as a lead's id", most=200, pattern=LINE)
    action = Text("an action, such as replay", most=40, pattern=LINE)
    actor = Text("an actor, such as cli:user, console:operator or api:TOKEN", most=200, pattern=LINE)
    before = Whole(1, LARGEST_ID, in_query=True)
    limit = Whole(1, 500, default=100, in_query=True)


class AuditPage(Strict):
    """Acts, the latest first."""

    acts = each(Act)
    next = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Give it as `before` for the next page; null: this is the last."},
    )


class VerifyQuery(Strict):
    """A head that was given earlier."""

    head = Text("a head as an earlier answer gave it", most=90, pattern=HEAD)


class Unsound(Strict):
    """The first entry that doesn't hold."""

    id = fields.Integer(required=True)
    at = time()
    action = text()


class Verdict(Strict):
    """Whether the audit is as it was written."""

    ok = flag()
    entries = number()
    head = text(description="Keep it elsewhere: given as `head` later on, it must still be in the chain.")
    fault = text(null=True, description="In which way it doesn't hold.")
    entry = one(Unsound, null=True)


@part.endpoint("GET", "/audit", query=AuditQuery, gives=AuditPage, reader=True)
def audit(*, limit: int, **conditions: Any) -> Any:  # noqa: ANN401
    """Who did what, the latest first."""
    return page(operations().audit(limit=limit, **conditions), name="acts", limit=limit)


@part.endpoint("GET", "/audit/verification", query=VerifyQuery, gives=Verdict, reader=True, refusal=409)
def verify_audit(*, head: str | None = None) -> Any:  # noqa: ANN401
    """Follow the chain of hashes through the whole audit: whether anything was changed or removed."""
    return operations().verify_audit(head=head)
