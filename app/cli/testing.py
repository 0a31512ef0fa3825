"""`send-test`: does a lead arrive? `explain`: what does this error mean?"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import as_json, say, steps, who
from app.operations import NotPossible
from app.settings import find_config
from app.store.tables import State
from app.wiring import load_catalogue

if TYPE_CHECKING:
    from app.catalogue import Entry
    from app.cli import Context
    from app.wiring import Wiring

LOOK_EVERY = 0.1  # seconds


@click.command(name="send-test")
@click.option("--url", metavar="URL", help="Where to post it, key included; else this server's own address.")
@click.option("--source", metavar="NAME", help="Whose key to use; else the first source's.")
@click.option("--offer", metavar="NAME", help="The offer it asks for: publisher.offer or a title.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, show_default=True, metavar="SECONDS")
@click.pass_obj
@as_json
def send_test(
    obj: Context, *, url: str | None, source: str | None, offer: str | None, timeout: float, json_: bool
) -> None:
    """Post a test lead as Microsoft does and follow it until every destination has it; exit 0 only then."""
    wiring = obj.ready
    ends = time.monotonic() + timeout
    id_ = wiring.operations.send_test(who=who(), url=url, source=source, offer=offer, timeout=timeout)
    hidden = json_ or not sys.stderr.isatty()
    with click.progressbar(length=100, label=f"Following {id_}", hidden=hidden, file=sys.stderr) as bar:
        found = _follow(wiring, id_, ends, bar)
    missing = [one for one in found["deliveries"] if one["state"] != State.SENT]
    problems = {one["destination"]: one["code"] for one in wiring.operations.problems()} if missing else {}
    for one in missing:  # a lead that waits at a parked destination has no attempt of its own
        tried = one["attempts"][-1]["code"] if one["attempts"] else None
        one["code"] = tried or problems.get(one["destination"])
    found["ok"] = not missing
    say(found, _story(wiring, found), json_=json_)
    sys.exit(1 if missing else 0)


def _follow(wiring: Wiring, id_: str, ends: float, bar: Any) -> dict[str, Any]:  # noqa: ANN401
    while True:
        try:
            found = wiring.operations.show(id_)
        except NotPossible:
            msg = f"The lead was taken as {id_}, but this configuration's store doesn't have it: it went elsewhere."
            raise NotPossible(msg) from None
        deliveries = found["deliveries"]
        done = sum(one["state"] == State.SENT for one in deliveries)
        settled = all(one["state"] not in (State.DUE, State.SENDING) for one in deliveries)
        bar.update(round(100 * done / max(1, len(deliveries))) - bar.pos)
        if settled or time.monotonic() > ends:
            return found
        time.sleep(LOOK_EVERY)


def _story(wiring: Wiring, found: dict[str, Any]) -> str:
    lines = [f"Test lead {found['id']}"]
    for one in found["deliveries"]:
        code = one.get("code")
        if code is None:
            lines.append(f"  {one['destination']}: {one['state']}")
        else:
            entry = wiring.catalogue.get(code)
            lines.append(f"  {one['destination']}: {one['state']}, {code}: {entry.title}")
            lines.append(steps(entry.remedy, indent="    "))
    if not found["deliveries"]:
        lines.append("  kept, and delivered nowhere: [test_leads] or [[routes]] send it to no destination")
    elif not found["ok"] and wiring.operations.worker_silent_for() is None:
        lines.append("  No worker is running: `leadwire serve` starts one, `leadwire work` is one.")
    return "\n".join(lines)


# Dataverse's codes have a minus in front: they are texts here, and no options.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("text", required=False)
@click.pass_obj
@as_json
def explain(obj: Context, *, text: str | None, json_: bool) -> None:
    """Say what an error TEXT means and what to do (standard input without TEXT); exit 1 if unknown or unclear."""
    pasted = text if text is not None else sys.stdin.buffer.read().decode("utf-8", "replace")
    # Needs no configuration: whoever reads an error may sit at any machine.
    found = load_catalogue(find_config(obj.config)).explain(pasted)
    if found.entry is not None:
        say(found.entry.as_dict(), _entry_text(found.entry), json_=json_)
        return
    if found.candidates:
        names = "\n".join(f"  {one.code}: {one.title}" for one in found.candidates)
        document = {"code": None, "candidates": [one.as_dict() for one in found.candidates]}
        say(document, f"Several causes fit:\n{names}", json_=json_)
    else:
        say({"code": None, "candidates": []}, "The catalogue does not know this error.", json_=json_)
    sys.exit(1)


def _entry_text(entry: Entry) -> str:
    parts = [f"{entry.code}: {entry.title}", "", entry.cause, "", f"Who acts: {entry.owner}", steps(entry.remedy)]
    return "\n".join([*parts, f"More: {entry.doc}"] if entry.doc else parts)


@click.command(name="alert-test")
@click.pass_obj
@as_json
def alert_test(obj: Context, *, json_: bool) -> None:
    """Send a trial alert by every channel of [alerts]; exit 1 if one does not go out."""
    found = obj.ready.operations.send_test_alert(who=who())
    lines = [f"{one['channel']}: {'sent' if one['ok'] else one['title']}" for one in found]
    lines += [steps(one["remedy"]) for one in found if not one["ok"]]
    say(found, "\n".join(lines), json_=json_)
    sys.exit(0 if all(one["ok"] for one in found) else 1)


COMMANDS = [send_test, alert_test, explain]
