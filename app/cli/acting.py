"""`acknowledge`, `tick`, `replay`, `discard`: what changes something."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import Moment, as_json, say, table, who, with_why
from app.store.tables import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.cli import Context

CHUNK = 500


def _which(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the ways to say which deliveries are meant."""
    options = (
        click.argument("ids", nargs=-1, metavar="[ID]..."),
        click.option("--destination", metavar="NAME", help="Only this destination's."),
        click.option("--code", metavar="CODE", help="Only what failed with this catalogue code."),
        click.option("--since", type=Moment(), help="Only leads received since then (2026-11-20, 2h, 7d)."),
        click.option("--dry-run", is_flag=True, help="Only say what would be done."),
        with_why,
    )
    for option in reversed(options):  # decorators show the last one first
        function = option(function)
    return function


@click.command()
@_which
@click.option("--sent", is_flag=True, help="Also what was delivered already; destinations don't store it twice.")
@click.pass_obj
@as_json
def replay(
    obj: Context,
    *,
    ids: tuple[str, ...],
    dry_run: bool,
    why: str,
    sent: bool,
    json_: bool,
    **which: Any,  # noqa: ANN401
) -> None:
    """Deliver again what is dead, discarded or waiting, with fresh patience.

    With ID and --destination, a lead is also delivered to a destination that it was not routed to.
    """
    operations = obj.ready.operations
    if which["destination"] is not None:
        operations.see_configured(which["destination"])
    states = [State.DUE, State.DEAD, State.DISCARDED, *([State.SENT] if sent else [])]
    found = operations.select(ids=ids, states=states, **which)
    added = 0
    if ids and which["destination"] and not dry_run:
        added = sum(operations.deliver_also(id_, which["destination"], who=who(why)) for id_ in ids)
    changed = _in_parts(
        found, lambda part: operations.replay(part, who=who(why)), "Replaying", dry_run=dry_run, json_=json_
    )
    hint = "" if sent else " What was delivered already is left alone without --sent."
    _report("replayed", found, changed + added, dry_run=dry_run, json_=json_, hint=hint)


@click.command()
@_which
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
@as_json
def discard(
    obj: Context,
    *,
    ids: tuple[str, ...],
    dry_run: bool,
    why: str,
    yes: bool,
    json_: bool,
    **which: Any,  # noqa: ANN401
) -> None:
    """Give up deliveries that wait or are dead, or quarantined bodies by their ID."""
    operations = obj.ready.operations
    quarantined = [one["id"] for one in operations.quarantined() if one["id"] in ids]
    found = operations.select(ids=ids, states=[State.DUE, State.DEAD], **which)
    number = len(found) + len(quarantined)
    if number and not dry_run and not yes:
        click.confirm(f"Give up {number}? They will not be delivered.", abort=True, err=True)
    changed = _in_parts(
        found, lambda part: operations.discard(part, who=who(why)), "Discarding", dry_run=dry_run, json_=json_
    )
    if quarantined and not dry_run:
        changed += operations.discard_quarantined(quarantined, who=who(why))
    shown = [*found, *((id_, "(quarantine)", "quarantined") for id_ in quarantined)]
    _report("discarded", shown, changed, dry_run=dry_run, json_=json_)


def _in_parts(
    found: Sequence[Any],
    act: Callable[[Sequence[Any]], int],
    label: str,
    *,
    dry_run: bool,
    json_: bool,
) -> int:
    if dry_run:
        return 0
    changed = 0
    hidden = json_ or not sys.stderr.isatty() or len(found) <= CHUNK
    with click.progressbar(range(0, len(found), CHUNK), label=label, hidden=hidden, file=sys.stderr) as parts:
        for start in parts:
            changed += act(found[start : start + CHUNK])
    return changed


def _report(
    verb: str, found: Sequence[tuple[str, str, str]], changed: int, *, dry_run: bool, json_: bool, hint: str = ""
) -> None:
    rows = [{"id": id_, "destination": destination, "state": state} for id_, destination, state in found]
    count = len(found) if dry_run else changed
    if dry_run:
        text = table(rows, ("id", "destination", "state"), empty="Nothing fits.") + f"\n{count} would be {verb}."
    else:
        text = f"{count} {verb}." + ("" if count else hint)
    say({"ok": bool(count), "dry_run": dry_run, verb: count, "deliveries": rows}, text, json_=json_)
    sys.exit(0 if count else 1)


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--note", default="", metavar="TEXT", help="What you do about it (no personal data).")
@click.pass_obj
@as_json
def acknowledge(obj: Context, *, id_: str, note: str, json_: bool) -> None:
    """Say that you take care of an open problem (its ID as `problems` shows it): nobody is reminded of it any more."""
    obj.ready.operations.acknowledge(id_, note=note, who=who())
    say({"ok": True, "id": id_}, f"Problem {id_} is taken care of.", json_=json_)


@click.command()
@click.argument("id_", metavar="ID")
@click.argument("step", type=click.IntRange(1, 1000))
@click.option("--undo", is_flag=True, help="It is not done after all.")
@click.pass_obj
@as_json
def tick(obj: Context, *, id_: str, step: int, undo: bool, json_: bool) -> None:
    """Tick a STEP of an open problem's remedy off."""
    obj.ready.operations.tick(id_, step, done=not undo, who=who())
    text = f"Step {step} is {'to be done again' if undo else 'done'}."
    say({"ok": True, "id": id_, "step": step, "done": not undo}, text, json_=json_)


COMMANDS = [acknowledge, tick, replay, discard]
