"""What every schema of ours has in common, and the shapes that several topics use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import RAISE, Schema, fields

from app.web.api.fields import why

if TYPE_CHECKING:
    from collections.abc import Mapping


class Strict(Schema):
    """Refuses, and in the document forbids, what it doesn't name."""

    class Meta:
        """marshmallow's own place for options."""

        unknown = RAISE


class Asked(Strict):
    """A query that takes nothing."""


class Nothing(Strict):
    """A body that says nothing."""


class Reason(Strict):
    """Why something is done."""

    why = why()


def text(*, null: bool = False, **shape: Any) -> fields.String:  # noqa: ANN401  (JSON Schema's keywords)
    """Make a field of an answer that is always there."""
    return fields.String(required=True, allow_none=null, metadata=shape)


def time(*, null: bool = False) -> fields.String:
    """Make the field of a moment."""
    return text(null=null, format="date-time")


def uuid(*, null: bool = False) -> fields.String:
    """Make the field of an id."""
    return text(null=null, format="uuid")


def number(*, null: bool = False) -> fields.Integer:
    """Make the field of a count."""
    return fields.Integer(required=True, allow_none=null)


def flag() -> fields.Boolean:
    """Make the field of a yes or no."""
    return fields.Boolean(required=True)


def texts() -> fields.List[Any]:
    """Make the field of a list of texts."""
    return fields.List(fields.String(), required=True)


def each(shape: type[Schema]) -> fields.List[Any]:
    """Make the field of a list of objects."""
    return fields.List(fields.Nested(shape), required=True)


def one(shape: type[Schema], *, null: bool = False) -> fields.Nested:
    """Make the field of an object."""
    return fields.Nested(shape, required=True, allow_none=null)


class Fault(Schema):
    """One thing that is wrong: of a request where it stands, of a lead's body the place as far as it is known."""

    place = fields.String(data_key="in", metadata={"enum": ["query", "body"]})
    field = fields.String()
    found = fields.String(metadata={"description": "What kind of value; never the value."})
    allowed = fields.String()
    path = fields.String()
    line = fields.Integer()
    column = fields.Integer()
    message = fields.String()


class Problem(Schema):
    """RFC 9457: what went wrong and what to do."""

    type = text()
    status = number()
    title = text()
    detail = text()
    errors = fields.List(fields.Nested(Fault))
    quarantine_id = fields.String(metadata={"format": "uuid"})


def page(rows: list[Any], *, name: str, limit: int, key: str = "id") -> Mapping[str, Any]:
    """Give one page of an answer: the rows, and as `next` what to give as `before` for the page after it."""
    return {name: rows, "next": rows[-1][key] if len(rows) == limit else None}
