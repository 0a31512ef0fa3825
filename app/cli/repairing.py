"""`quarantine`, `repair`, `release`: bodies that are no leads yet."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import as_json, printable, say, table, who, with_why
from app.decoding import Rejection
from app.operations import MASK, PERSONAL, NotPossible

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.cli import Context
    from app.lead import Lead


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@with_why
@click.pass_obj
@as_json
def quarantine(obj: Context, *, id_: str | None, why: str, json_: bool) -> None:
    """List the bodies that are no leads; with ID, print that body as it came, which is recorded in the audit."""
    operations = obj.ready.operations
    if id_ is not None:
        body = operations.quarantined_body(id_, who=who(why)).decode("utf-8", "replace")
        say({"id": id_, "body": body}, printable(body), json_=json_)
        return
    found = operations.quarantined()
    rows = [{**one, "where": _where(one["errors"])} for one in found]
    columns = ("id", "received_at", "source", "length", "title", "where")
    say(found, table(rows, columns, empty="The quarantine is empty."), json_=json_)


def _where(errors: list[dict[str, Any]]) -> str:
    first = errors[0] if errors else {}
    if "line" in first:
        return f"line {first['line']}, column {first['column']}: {first['message']}"
    return f"{first['path']}: {first['message']}" if "path" in first else ""


@click.command()
@click.argument("id_", metavar="ID")
@click.option(
    "--file", "file", type=click.File("rb"), help="The repaired body (- for standard input); else your editor opens."
)
@click.option("--preview", is_flag=True, help="Only say how it (--file's, else what is kept) reads; changes nothing.")
@click.option("--release", "release_", is_flag=True, help="Also release it, in the same step.")
@with_why
@click.pass_obj
@as_json
def repair(
    obj: Context,
    *,
    id_: str,
    file: Any,  # noqa: ANN401
    preview: bool,
    release_: bool,
    why: str,
    json_: bool,
) -> None:
    """Mend a quarantined body: in your editor, or with --file."""
    if preview and release_:
        msg = "--preview changes nothing; leave it or --release out."
        raise click.UsageError(msg)
    operations = obj.ready.operations
    body = file.read() if file is not None else None
    if preview:
        _say_preview(id_, operations.preview(id_, body=body), in_clear=body is not None, json_=json_)
        return
    if body is None:
        body = _edited(lambda: operations.quarantined_body(id_, who=who(why)))
    act = operations.release if release_ else operations.repair
    read = act(id_, body=body, who=who(why))
    if isinstance(read, Rejection):
        _rejected(id_, read, "Nothing was changed." if release_ else "Your text is kept; repair it again.", json_=json_)
    verb = "released" if release_ else "repaired"
    text = f"{id_} is {verb}." + ("" if release_ else f" It reads as a lead now: `leadwire release {id_}`.")
    say({"ok": True, "id": id_, "status": verb}, text, json_=json_)


def _say_preview(id_: str, read: Lead | Rejection, *, in_clear: bool, json_: bool) -> None:
    """Show the lead that a body holds; of a body that was only kept nobody is shown, for that would be recorded."""
    if isinstance(read, Rejection):
        _rejected(id_, read, "Nothing was changed.", json_=json_)
        return
    lead = read.as_dict()
    hidden = () if in_clear else [name for name in PERSONAL if lead[name]]
    lead |= dict.fromkeys(hidden, MASK)
    lines = [f"  {name.replace('_', ' ')}: {value}" for name, value in lead.items() if value]
    text = "\n".join([f"{id_} reads as a lead; nothing was changed.", *lines])
    say({"ok": True, "id": id_, "lead": lead}, printable(text), json_=json_)


def _edited(before: Callable[[], bytes]) -> bytes:
    """Let a person edit a body, which is asked for (and so recorded) only where there is an editor."""
    if not sys.stdin.isatty():
        msg = "No terminal for an editor: give the repaired body with --file FILE, or --file - and standard input."
        raise NotPossible(msg)
    body = before()
    after = click.edit(body.decode(json.detect_encoding(body), "replace"), extension=".json")
    if after is None:
        msg = "Nothing was changed."
        raise NotPossible(msg)
    return after.encode()


def _rejected(id_: str, read: Rejection, tail: str, *, json_: bool) -> None:
    document = {"ok": False, "id": id_, "title": read.title, "detail": read.detail, "errors": read.errors}
    say(document, f"{id_} is still no lead. {read.title}: {read.detail} {tail}", json_=json_)
    sys.exit(1)


@click.command()
@click.argument("id_", metavar="ID")
@with_why
@click.pass_obj
@as_json
def release(obj: Context, *, id_: str, why: str, json_: bool) -> None:
    """Let a quarantined body flow as the lead it holds."""
    read = obj.ready.operations.release(id_, who=who(why))
    if isinstance(read, Rejection):
        _rejected(id_, read, "Nothing was changed.", json_=json_)
    found = obj.ready.operations.show(id_)
    say({"ok": True, "id": id_, "status": found["status"]}, f"{id_} is released.", json_=json_)


COMMANDS = [quarantine, repair, release]
