"""Reconciliation: an export of Partner Center against what arrived."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.decoding.exports import NAMES
from app.web.api.fields import LINE, TEXT, Flag, Text, why
from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.reading import LARGEST_BODY
from app.web.api.schemas import Strict, each, flag, number, text, time, uuid

part = Part("reconciliation", "What Partner Center has against what arrived.")
FOUND = ["arrived", "ingested", "missing", "perhaps-erased", "quarantined", "too-old", "too-young"]


# What columns are called that have none of the usual names.
Columns = Strict.from_dict(
    {name: Text("the name of a column", most=200, pattern=LINE) for name in NAMES}, name="Columns"
)


class Export(Strict):
    """An export of leads, as CSV."""

    export = Text("the whole file as text", most=LARGEST_BODY, pattern=TEXT, required=True)
    source = Text("the name of a source, where there are several", most=200, pattern=LINE)
    columns = fields.Nested(Columns)
    ingest = Flag(default=False)
    why = why()


class ExportRow(Strict):
    """A lead of the export; `line` is the file's."""

    line = number()
    created_at = time()
    offer = text(null=True)
    found = text(enum=FOUND)
    id = uuid(null=True)


class Reconciled(Strict):
    """What became of each lead of the export."""

    ok = flag()
    counts = fields.Dict(fields.String(), fields.Integer(), required=True)
    rows = each(ExportRow)


@part.endpoint("POST", "/reconciliations", body=Export, gives=Reconciled, refusal=409)
def reconcile(*, export: str, **more: Any) -> Any:  # noqa: ANN401
    """Compare an export of leads from Partner Center with what arrived; take in what is missing, once, if asked to."""
    return operations().reconcile(export.encode(), who=who(more.pop("why", "")), **more)
