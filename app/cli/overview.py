"""`overview`, `offers`, `checks`, `settings`, `addresses`, `audit`: how things stand, and who did what."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import as_json, say, steps, table, who, with_why

if TYPE_CHECKING:
    from app.cli import Context

WORKER_SILENT_AFTER = 60  # seconds
CARDS = ("name", "type", "state", "waiting", "oldest_waiting_at", "last_sent_at", "sent", "calls")
DAYS = ("day", "accepted", "test", "duplicate", "withheld", "quarantined")


@click.command()
@click.option("--days", type=click.IntRange(1, 366), default=14, show_default=True, help="How many days to count.")
@click.pass_obj
@as_json
def overview(obj: Context, *, days: int, json_: bool) -> None:
    """How things stand: leads a day, each destination, what needs a person; exit 1 if something does."""
    found = obj.ready.operations.overview(days=days)
    needs = _needs(found)
    say({"ok": not needs, "needs": needs, **found}, _overview_text(found, needs), json_=json_)
    sys.exit(1 if needs else 0)


def _needs(found: dict[str, Any]) -> list[str]:
    """Say what a person has to see to; what is tried again by itself is not among it."""
    silent = found["worker_silent_seconds"]
    said = []
    if silent is None or silent > WORKER_SILENT_AFTER:
        seen = "no worker was ever seen" if silent is None else f"no worker was seen for {silent:.0f} seconds"
        said.append(f"Nothing is being delivered: {seen}. `leadwire serve` or `leadwire work` starts one.")
    said += [
        f"{_named(one)}: {one['title']} ({one['code']})"
        for one in found["problems"]
        if one["held"] or one["dead"] or one["destination"] is None
    ]
    if found["quarantined"]:
        said.append(f"{found['quarantined']} in quarantine: `leadwire quarantine` lists them.")
    if found["alerts_failing"]:
        said.append(f"{found['alerts_failing']} alerts could not be sent: `leadwire alert-test` says why.")
    return said


def _named(problem: dict[str, Any]) -> str:
    return problem["destination"] or "Leadwire"


def _overview_text(found: dict[str, Any], needs: list[str]) -> str:
    cards = [{**one, "calls": _calls(one["calls"])} for one in found["destinations"]]
    parts = [
        "\n".join(needs) or "Nobody has to act.",
        "\n".join(_problem_line(one) for one in found["problems"]) or "No problems: nothing is held, failing or dead.",
        table(cards, CARDS, empty="No destination is configured."),
        table(found["days"], DAYS, empty=""),
        f"last lead: {found['last_lead_at'] or 'none yet'}",
    ]
    return "\n\n".join(parts)


def _problem_line(one: dict[str, Any]) -> str:
    line = f"{_named(one)}: {one['code']} since {one['since']}, {one['leads_waiting']} waiting, {one['dead']} dead"
    return "\n".join([line, steps(one["remedy"][:1])])


def _calls(calls: dict[str, Any] | None) -> str:
    return f"{calls['used']} of {calls['allowed']} {calls['of'] or ''}".rstrip() if calls else ""


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
    """Show the latest result of `check` for each destination, whoever asked for it; exit 1 if one is not well."""
    found = list(obj.ready.operations.checks().values())
    columns = ("name", "type", "ok", "code", "detail", "at", "actor")
    say(found, table(found, columns, empty="Nothing was checked yet."), json_=json_)
    sys.exit(0 if all(one["ok"] for one in found) else 1)


@click.command()
@click.pass_obj
@as_json
def settings(obj: Context, *, json_: bool) -> None:
    """Show what is configured and where each value comes from; of a secret only that it is set."""
    found = obj.wiring.operations.settings_shown()
    say(found, table(found, ("section", "key", "value", "origin"), empty=""), json_=json_)


@click.command()
@click.option("--show", nargs=2, metavar="SOURCE FINGERPRINT", help="The whole URL with this key; that is recorded.")
@with_why
@click.pass_obj
@as_json
def addresses(obj: Context, *, show: tuple[str, str] | None, why: str, json_: bool) -> None:
    """List the sources' addresses and when each key was last used."""
    operations = obj.ready.operations
    if show is not None:
        url = operations.source_url(*show, who=who(why))
        say({"url": url}, url, json_=json_)
        return
    found = operations.addresses()
    rows = [{"source": one["source"], "url": one["url"], **key} for one in found for key in one["keys"]]
    columns = ("source", "url", "reference", "fingerprint", "last_used_at")
    say(found, table(rows, columns, empty="No source is configured."), json_=json_)


@click.group(invoke_without_command=True)
@click.option("--target", metavar="TEXT", help="A lead's id, or the first word of another target.")
@click.option("--action", metavar="WORD", help="Only this, such as reveal or replay.")
@click.option("--actor", metavar="NAME", help="Only what this one did.")
@click.option("--before", type=click.IntRange(1), metavar="NUMBER", help="The next page: after the last row seen.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.pass_context
@as_json
def audit(ctx: click.Context, *, json_: bool, **wanted: Any) -> None:  # noqa: ANN401
    """List who did what and why, the latest first; or verify that nothing of it was changed."""
    ctx.default_map = {name: {"json_": json_} for name in audit.commands}
    if ctx.invoked_subcommand is not None:
        return
    found = ctx.obj.ready.operations.audit(**wanted)
    columns = ("id", "at", "actor", "action", "target", "why")
    say(found, table(found, columns, empty="Nothing fits."), json_=json_)


@audit.command(name="verify")
@click.option("--head", metavar="HEAD", help="What an earlier `verify` printed: it must still be in the chain.")
@click.pass_obj
@as_json
def audit_verify(obj: Context, *, head: str | None, json_: bool) -> None:
    """Follow the audit's chain of hashes; exit 1 and the first entry that doesn't hold, if one doesn't.

    Keep the head that it prints outside of this store: it also shows whether the store as a whole was put back.
    """
    found = obj.ready.operations.verify_audit(head=head)
    say(found, _verdict(found), json_=json_)
    sys.exit(0 if found["ok"] else 1)


def _verdict(found: dict[str, Any]) -> str:
    if found["ok"]:
        return f"{found['entries']} entries, as they were written. Head: {found['head']}"
    entry = found["entry"]
    which = (
        f"Entry {entry['id']} of {entry['at']} ({entry['action']})" if entry else f"After {found['entries']} entries"
    )
    return f"{which}: {found['fault']}. Up to there {found['entries']} hold."


COMMANDS = [overview, offers, checks, settings, addresses, audit]
