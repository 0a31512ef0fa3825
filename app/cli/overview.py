"""`overview`, `offers`, `checks`, `settings`, `addresses`, `audit`: how things stand, and who did what."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import as_json, say, table, who

if TYPE_CHECKING:
    from app.cli import Context


@click.command()
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True, help="How many days to count.")
@click.pass_obj
@as_json
def overview(obj: Context, *, days: int, json_: bool) -> None:
    """How things stand: leads a day, each destination, what needs a person; exit 1 if something does."""
    found = obj.ready.operations.overview(days=days)
    say(found, _overview_text(found), json_=json_)
    sys.exit(1 if any(one["held"] or one["dead"] for one in found["problems"]) else 0)


def _overview_text(found: dict[str, Any]) -> str:
    cards = ("name", "type", "state", "waiting", "oldest_waiting_at", "last_sent_at", "sent")
    days = ("day", "accepted", "test", "duplicate", "withheld", "quarantined")
    troubles = [f"{one['destination'] or 'Leadwire'}: {one['title']} ({one['code']})" for one in found["problems"]]
    silent = found["worker_silent_seconds"]
    parts = [
        "\n".join(troubles) or "No problems: nothing is held, failing or dead.",
        table(found["destinations"], cards, empty="No destination is configured."),
        table(found["days"], days, empty=""),
        f"in quarantine: {found['quarantined']}; last lead: {found['last_lead_at'] or 'never'}",
        f"worker seen: {'never' if silent is None else f'{silent:.0f} s ago'}",
    ]
    return "\n\n".join(parts)


@click.command()
@click.pass_obj
@as_json
def offers(obj: Context, *, json_: bool) -> None:
    """List every offer there is a lead of."""
    found = obj.ready.operations.offers()
    say(found, "\n".join(found) or "No lead names an offer yet.", json_=json_)


@click.command()
@click.pass_obj
@as_json
def checks(obj: Context, *, json_: bool) -> None:
    """Show the latest result of `check` for each destination, whoever asked for it."""
    found = list(obj.ready.operations.checks().values())
    columns = ("name", "type", "ok", "code", "detail", "at", "actor")
    say(found, table(found, columns, empty="Nothing was checked yet."), json_=json_)


@click.command()
@click.pass_obj
@as_json
def settings(obj: Context, *, json_: bool) -> None:
    """Show what is configured and where each value comes from; of a secret only that it is set."""
    found = obj.wiring.operations.settings_shown()
    say(found, table(found, ("section", "key", "value", "origin"), empty=""), json_=json_)


@click.command()
@click.option("--show", nargs=2, metavar="SOURCE FINGERPRINT", help="The whole URL with this key; that is recorded.")
@click.pass_obj
@as_json
def addresses(obj: Context, *, show: tuple[str, str] | None, json_: bool) -> None:
    """List the sources' addresses and when each key was last used."""
    operations = obj.ready.operations
    if show is not None:
        url = operations.source_url(*show, who=who())
        say({"url": url}, url, json_=json_)
        return
    found = operations.addresses()
    rows = [{"source": one["source"], "url": one["url"], **key} for one in found for key in one["keys"]]
    columns = ("source", "url", "reference", "fingerprint", "last_used_at")
    say(found, table(rows, columns, empty="No source is configured."), json_=json_)


@click.command()
@click.option("--target", metavar="TEXT", help="A lead's id, or the first word of another target.")
@click.option("--action", metavar="WORD", help="Only this, such as reveal or replay.")
@click.option("--actor", metavar="NAME", help="Only what this one did.")
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="The next page: after the last row seen.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.pass_obj
@as_json
def audit(obj: Context, *, json_: bool, **wanted: Any) -> None:  # noqa: ANN401
    """List who did what and why, the latest first."""
    found = obj.ready.operations.audit(**wanted)
    columns = ("id", "at", "actor", "action", "target", "why")
    say(found, table(found, columns, empty="Nothing fits."), json_=json_)


COMMANDS = [overview, offers, checks, settings, addresses, audit]
