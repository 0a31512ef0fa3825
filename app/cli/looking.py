"""`leads`, `show`, `problems`, `quarantine`: what came in, what became of it, what needs a person."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import Moment, as_json, printable, say, steps, table, who, with_why
from app.store import StoreUnavailable
from app.store.searching import Filter
from app.store.tables import State, Status, iso, to_ms

if TYPE_CHECKING:
    from app.cli import Context
    from app.operations import Operations

ALL_IS_WELL = "All is well: nothing is held, failing or dead, and nothing waits."
WAITING = {State.DUE, State.SENDING, State.HELD}
STATES = dict.fromkeys(map(str, (*Status, *State)))  # `discarded` is both


@click.command()
@click.option("--state", type=click.Choice(STATES), help="What became of it, or where a delivery of it stands.")
@click.option("--test/--no-test", default=None, help="Only test leads, or none.")
@click.option("--since", type=Moment(), help="Received since then: 2026-11-20, 2026-11-20T23:51:00Z, 30m, 2h, 7d.")
@click.option("--until", type=Moment(), help="Received before then.")
@click.option("--source", metavar="NAME", help="From this source.")
@click.option("--offer", metavar="OFFER", help="Of this offer; * stands for anything.")
@click.option("--destination", metavar="NAME", help="Owed or delivered to it.")
@click.option("--email", metavar="ADDRESS", help="Of this person.")
@click.option("--before", metavar="ID", help="The next page: after the last lead seen.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.pass_obj
@as_json
def leads(obj: Context, *, email: str | None, json_: bool, **wanted: Any) -> None:  # noqa: ANN401
    """List what came in, newest first."""
    operations = obj.ready.operations
    person = operations.person_mark(email) if email is not None else None
    found = operations.leads(Filter(person=person, **wanted))
    columns = ("id", "received_at", "status", "test", "lead_source", "action_code", "offer", "deliveries")
    say(found, table(found, columns, empty="No lead fits."), json_=json_)


@click.command()
@click.argument("id_", metavar="ID")
@with_why
@click.pass_obj
@as_json
def show(obj: Context, *, id_: str, why: str, json_: bool) -> None:
    """Show one lead, with who it is, and every attempt to deliver it; that is recorded in the audit."""
    found = obj.ready.operations.reveal(id_, who=who(why))
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
@click.option("--closed", is_flag=True, help="What is over instead, the latest first.")
@click.option("--before", metavar="ID", help="With --closed, the next page: after the last one seen.")
@click.option("--watch", is_flag=True, help="Go on looking until Ctrl-C; without a terminal, say only what changed.")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True, help="Seconds between two looks."
)
@click.pass_obj
@as_json
def problems(obj: Context, *, closed: bool, before: str | None, watch: bool, every: float, json_: bool) -> None:
    """The remediation log: what is wrong, since when, how many leads wait, and the steps that mend it."""
    operations = obj.ready.operations
    if closed:
        over = operations.closed_problems(before=before)
        columns = ("id", "destination", "code", "since", "closed_at", "most_waiting", "title")
        say(over, table(over, columns, empty="Nothing is over yet."), json_=json_)
        return
    if watch:
        _watch(operations, every=every, json_=json_)
        return
    found = operations.problems()
    say(found, _problems_text(found), json_=json_)


def _problems_text(found: list[dict[str, Any]]) -> str:
    return "\n\n".join(_problem_text(one) for one in found) or "No problems: nothing is held, failing or dead."


def _watch(operations: Operations, *, every: float, json_: bool) -> None:
    """Show the log whenever it changed, until somebody ends it.

    Raises:
        StoreUnavailable: at the first look; a store that goes away later is waited for.

    """
    # Shells start what runs in the background deaf to SIGINT; asked to end, this ends all the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    history, shown = _History(), None
    look = history.look(operations)
    try:
        while True:
            if (look.problems if json_ else look) != shown:
                shown = look.problems if json_ else look
                _draw(look, moment=str(iso(to_ms(operations.now()))), json_=json_)
            time.sleep(every)
            try:
                look = history.look(operations)
            except StoreUnavailable as exc:
                click.echo(f"The store can't be used at the moment. {exc}", err=True)
    except KeyboardInterrupt:
        return  # how a watch ends


@dataclass(frozen=True)
class _Look:
    """What a watch sees at one moment: the problems, and a line about each that moved since the watch began."""

    problems: list[dict[str, Any]]
    moved: list[str]
    waiting: int  # leads that wait for destinations that were in trouble

    @property
    def state(self) -> str:
        """Tell what is wrong, or how well all is."""
        over = self.moved and not self.problems and not self.waiting
        return ALL_IS_WELL if over else _problems_text(self.problems)


def _draw(look: _Look, *, moment: str, json_: bool) -> None:
    if json_:
        say(look.problems, "", json_=True)
        sys.stdout.flush()  # whoever reads the other end of a pipe wants it now
        return
    terminal = sys.stdout.isatty()
    parts = [f"{moment}  (Ctrl-C ends)" if terminal else moment, "\n".join(look.moved), look.state]
    text = "\n\n".join(part for part in parts if part)
    click.clear()  # does nothing where no terminal is
    click.echo(text if terminal else f"{text}\n")
    sys.stdout.flush()


class _History:
    """What a watch has seen so far, to say what became of it."""

    def __init__(self) -> None:
        self._causes: dict[tuple[str, str], None] = {}
        self._most: dict[str, int] = {}  # leads that waited at most, by destination in trouble

    def look(self, operations: Operations) -> _Look:
        found = operations.problems()
        causes = {(one["destination"], one["code"]): None for one in found}
        self._causes |= causes
        # Counting takes long in a large store, so it waits for the first trouble.
        waiting = _waiting(operations) if self._causes else {}
        for destination, _ in self._causes:
            self._most[destination] = max(waiting.get(destination, 0), self._most.get(destination, 0))
        mended = [
            f"Mended: {destination}, {code}" for destination, code in self._causes if (destination, code) not in causes
        ]
        draining = [
            f"Draining: {destination}, {waiting[destination]} of {most} leads left"
            for destination, most in self._most.items()
            if 0 < waiting.get(destination, 0) < most
        ]
        left = sum(waiting.get(destination, 0) for destination in self._most)
        return _Look(found, mended + draining, left)


def _waiting(operations: Operations) -> dict[str, int]:
    """Count the leads that are still to be delivered, also those that had no trouble yet, by destination."""
    counts: Counter[str] = Counter()
    for row in operations.figures().deliveries:
        if row.state in WAITING:
            counts[row.destination] += row.number
    return counts


def _problem_text(one: dict[str, Any]) -> str:
    counts = [f"{one['leads_waiting']} waiting"] if one["leads_waiting"] else []
    counts += [f"{one['dead']} dead (mend, then `leadwire replay`)"] if one["dead"] else []
    again = f"next try {one['next_try']}" if one["next_try"] else "no further try by itself"
    lines = [
        f"{one['destination'] or 'Leadwire'}: {one['title']} ({one['code']})",
        f"  since {one['since']}, {', '.join(counts) or 'nothing waiting'}, {again}",
        f"  who acts: {one['owner']}",
        f"  {one['cause']}",
        _ticked(one),
    ]
    if one["id"]:
        lines.append(f"  problem {one['id']}" + _taken_care_of(one))
    if one["evidence"] or one["raw_code"]:
        lines.append(printable(f"  it said: {one['raw_code'] or ''} {one['evidence'] or ''}".rstrip()))
    return "\n".join([*lines, f"  more: {one['doc']}"] if one["doc"] else lines)


def _ticked(one: dict[str, Any]) -> str:
    """The steps, with those done said to be."""
    return steps([f"{step} (done)" if at in one["done"] else step for at, step in enumerate(one["remedy"], 1)])


def _taken_care_of(one: dict[str, Any]) -> str:
    taken = one["acknowledged"]
    return printable(f", taken care of by {taken['by']}: {taken['note']}") if taken else ""


COMMANDS = [leads, show, problems]
