"""`reconcile`: what Partner Center has against what arrived."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from app.cli.output import as_json, say, table, who, with_why
from app.decoding.exports import NAMES

if TYPE_CHECKING:
    from typing import BinaryIO

    from app.cli import Context

MEANINGS = {
    "missing": "did not arrive; --ingest takes them in",
    "ingested": "were taken in from an export",
    "quarantined": "came as bodies that can't be read: `leadwire quarantine` has them",
    "too-young": "are younger than an hour and may be on their way",
    "too-old": "are older than leads are kept here",
    "perhaps-erased": "may be of somebody who was erased here, and are not taken in",
    "arrived": "arrived",
}


@click.command()
@click.argument("export", type=click.File("rb"), metavar="EXPORT.csv")
@click.option("--ingest", is_flag=True, help="Take in what is missing, once, marked as such.")
@click.option("--source", metavar="NAME", help="Whose export it is, where there are several sources.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    help=f"What a column is called in this file; can be given again. Fields: {', '.join(NAMES)}.",
)
@with_why
@click.pass_obj
@as_json
def reconcile(
    obj: Context, *, export: BinaryIO, ingest: bool, source: str | None, columns: tuple[str, ...], why: str, json_: bool
) -> None:
    """Compare an export of leads from Partner Center (Referrals, Leads, Export) with what arrived.

    Exit 1 if a lead is missing. A lead is recognised by its person and its time, a day to either side.
    """
    named = dict(_column(one) for one in columns)
    operations = obj.ready.operations
    found = operations.reconcile(export.read(), ingest=ingest, source=source, columns=named, who=who(why))
    counts = "\n".join(f"{found['counts'][name]} {text}" for name, text in MEANINGS.items() if name in found["counts"])
    rows = [row for row in found["rows"] if row["found"] != "arrived"]
    empty = "Everything in the export arrived." if found["rows"] else "There is no lead in the export."
    shown = table(rows, ("line", "created_at", "offer", "found", "id"), empty=empty)
    say(found, f"{shown}\n\n{counts}".rstrip(), json_=json_)
    sys.exit(0 if found["ok"] else 1)


def _column(given: str) -> tuple[str, str]:
    name, separator, called = given.partition("=")
    if name not in NAMES or not separator:
        msg = f"{given!r}: give FIELD=NAME, FIELD one of {', '.join(NAMES)}."
        raise click.BadParameter(msg)
    return name, called


COMMANDS = [reconcile]
