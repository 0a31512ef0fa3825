"""`encryption`: the keys that leads are sealed under."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from app.cli.output import as_json, say, who, with_why
from app.store.resealing import Resealer, renew
from app.store.tables import to_ms

if TYPE_CHECKING:
    from app.cli import Context

NEXT = (
    "The previous master key ({}) still opens the store. Restart every process with this configuration; then take "
    "`previous` out and run this again."
)


@click.group()
def encryption() -> None:
    """Renew the keys that leads are sealed under."""


@encryption.command()
@click.option("--no-wait", is_flag=True, help="Leave what is in the store to the worker.")
@with_why
@click.pass_obj
@as_json
def rotate(obj: Context, *, no_wait: bool, why: str, json_: bool) -> None:
    """Seal under a fresh key, and bring all leads under it, while everything runs.

    The fresh key is wrapped by the master keys that are configured now, and so are the older ones: to replace the
    master key, put the new one into [encryption] key and the old one into `previous` first. Interrupted, a worker
    goes on with it.
    """
    wiring = obj.ready
    number = renew(wiring.store, now=to_ms(wiring.now()), who=who(why))
    if not json_:
        click.echo(f"Key {number} seals from now on.", err=True)
    resealer, rows = Resealer(wiring.store), 0
    while not no_wait and (wait := resealer.waits(now=to_ms(wiring.now()))) is not None:
        if wait:  # until every process has taken it up
            time.sleep(min(wait / 1000, 1))
        else:
            rows = resealer.step().rows
    previous = wiring.settings.encryption.previous
    master = wiring.store.keyring.reference
    text = f"{rows} leads and bodies were brought under it." if not no_wait else "The worker brings all leads under it."
    if previous is not None:
        text += f" {NEXT.format(previous.reference)}"
    if not master:
        text += " There is no master key: set [encryption] key, or whoever has the database reads the leads."
    document = {"ok": True, "key": number, "master": master or None, "rows": None if no_wait else rows}
    say(document, text, json_=json_)


COMMANDS = [encryption]
