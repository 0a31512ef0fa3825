"""`leads`, `show`, `problems`, `quarantine`: what came in, what became of it, what needs a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from app.cli.output import Moment, as_json, printable, say, steps, table
from app.store.tables import State, Status
from app.store.views import Filter

if TYPE_CHECKING:
    from app.cli import Context

STATES = [str(one) for one in (*Status, *State) if one != State.DISCARDED]


@click.command()
@click.option("--state", type=click.Choice(STATES), help="What became of it, or where a delivery of it stands.")
@click.option("--test/--no-test", default=None, help="Only test leads, or none.")
@click.option("--since", type=Moment(), help="Received since then: 2026-11-20, 2026-11-20T23:51:00Z, 30m, 2h, 7d.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.pass_obj
@as_json
def leads(obj: Context, *, state: str | None, test: bool | None, since: int | None, limit: int, json_: bool) -> None:
    """List what came in, newest first."""
    found = obj.ready.operations.leads(Filter(state=state, test=test, since=since, limit=limit))
    columns = ("id", "received_at", "status", "test", "lead_source", "action_code", "offer", "deliveries")
    say(found, table(found, columns, empty="No lead fits."), json_=json_)


@click.command()
@click.argument("id_", metavar="ID")
@click.pass_obj
@as_json
def show(obj: Context, *, id_: str, json_: bool) -> None:
    """Show one lead and every attempt to deliver it."""
    found = obj.ready.operations.show(id_)
    say(found, _lead_text(found), json_=json_)


def _lead_text(found: dict[str, Any]) -> str:
    lines = [f"{name.replace('_', ' ')}: {found[name]}" for name in ("id", "status", "test", "received_at", "source")]
    lines += [f"{name}: {found[name]}" for name in ("duplicate_of", "email_domain") if name in found]
    for name, value in (found["lead"] or {}).items():
        if value:
            lines.append(f"  {name.replace('_', ' ')}: {value}")
    for one in found["deliveries"]:
        remote = f" as {one['remote_id']}" if one["remote_id"] else ""
        lines.append(f"{one['destination']}: {one['state']}{remote}")
        lines += [f"  {tried['at']}  {tried['code'] or 'sent'}  {tried['verdict']}" for tried in one["attempts"]]
    return printable("\n".join(lines))


@click.command()
@click.pass_obj
@as_json
def problems(obj: Context, *, json_: bool) -> None:
    """The remediation log: what is wrong, since when, how many leads wait, and the steps that mend it."""
    found = obj.ready.operations.problems()
    text = "\n\n".join(_problem_text(one) for one in found) or "No problems: nothing is held, failing or dead."
    say(found, text, json_=json_)


def _problem_text(one: dict[str, Any]) -> str:
    counts = [f"{one['leads_waiting']} waiting"] if one["leads_waiting"] else []
    counts += [f"{one['dead']} dead (mend, then `leadwire replay`)"] if one["dead"] else []
    again = f"next try {one['next_try']}" if one["next_try"] else "no further try by itself"
    lines = [
        f"{one['destination']}: {one['title']} ({one['code']})",
        f"  since {one['since']}, {', '.join(counts) or 'nothing waiting'}, {again}",
        f"  who acts: {one['owner']}",
        f"  {one['cause']}",
        steps(one["remedy"]),
    ]
    return "\n".join([*lines, f"  more: {one['doc']}"] if one["doc"] else lines)


@click.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.pass_obj
@as_json
def quarantine(obj: Context, *, id_: str | None, json_: bool) -> None:
    """List the bodies that are no leads; with ID, print that body as it came."""
    operations = obj.ready.operations
    if id_ is not None:
        body = operations.quarantined_body(id_).decode("utf-8", "replace")
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


COMMANDS = [leads, show, problems, quarantine]
