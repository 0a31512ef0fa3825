"""`erase`, `purge`: persons are forgotten, and what is old is deleted."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from app.cli.output import as_json, say, table, who, with_why
from app.operations import NotPossible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.cli import Context


@click.command()
@click.option("--email", metavar="ADDRESS", help="Whom to forget.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only these leads, also again at the destinations.")
@click.option("--destinations", is_flag=True, help="Also erase there what their interfaces let us erase.")
@click.option(
    "--certificate", type=click.Path(dir_okay=False), metavar="FILE", help="Write what was erased there as JSON."
)
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_why
@click.pass_obj
@as_json
def erase(
    obj: Context,
    *,
    email: str | None,
    ids: tuple[str, ...],
    destinations: bool,
    certificate: str | None,
    yes: bool,
    why: str,
    json_: bool,
) -> None:
    """Forget a person: leads and quarantined bodies with this e-mail address. Says who else holds them.

    The certificate names no person: a keyed hash of the address, what was erased where, and the head of the audit.
    """
    if (email is None) == (not ids):
        msg = "Give either --email or --id."
        raise click.UsageError(msg)
    operations = obj.ready.operations
    for id_ in ids:
        operations.show(id_)
    found = operations.find_person(email) if email is not None else list(ids)
    if found and not yes:
        there = " here and at the destinations" if destinations else ""
        click.confirm(f"Erase {len(found)} leads of this person{there}? This can't be undone.", abort=True, err=True)
    with _opened(certificate) as file:
        told = operations.erase(found, who=who(why), email=email, destinations=destinations)
        if file is not None:
            file.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    left = [one for one in told["destinations"] if not one["erased"]]
    ok = bool(found) and not (destinations and left)
    say({"ok": ok, **told}, _erased_text(told), json_=json_)
    sys.exit(0 if ok else 1)


@contextlib.contextmanager
def _opened(path: str | None) -> Iterator[IO[str] | None]:
    """Open what is to be written before anything is erased: afterwards it could be made no more."""
    if path is None:
        yield None
        return
    try:
        file = Path(path).open("x", encoding="utf-8")  # noqa: SIM115  (closed below)
    except OSError as exc:
        msg = f"The certificate can't be written: {path}: {exc.strerror}. Nothing was erased."
        raise NotPossible(msg) from None
    with file:
        try:
            yield file
        except BaseException:
            Path(path).unlink()  # it certifies nothing
            raise


def _erased_text(told: dict[str, Any]) -> str:
    text = f"{len(told['erased'])} erased here."
    done = [one for one in told["destinations"] if one["erased"]]
    left = [one for one in told["destinations"] if not one["erased"]]
    if done:
        rows = table(done, ("id", "destination", "remote_id", "told"), empty="")
        text += f" Erased at destinations:\n{rows}\n"
    if left:
        columns = ("id", "destination", "remote_id", "certain", *(("told",) if left[0]["told"] else ()))
        rows = table(left, columns, empty="")
        text += f" These destinations have them still (or may have, where it is not certain); erase them there:\n{rows}"
    return text.strip()


@click.command()
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_why
@click.pass_obj
@as_json
def purge(obj: Context, *, yes: bool, why: str, json_: bool) -> None:
    """Delete what is older than [retention] and [test_leads] say; what still waits for a destination stays."""
    if not yes:
        kept = obj.wiring.settings.retention
        click.confirm(
            f"Delete leads older than {kept.leads_days} days, quarantined bodies older than {kept.quarantine_days}?",
            abort=True,
            err=True,
        )
    counts = obj.ready.operations.purge(who=who(why))
    text = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
    say({"ok": True, "purged": counts}, f"Deleted: {text}.", json_=json_)


COMMANDS = [erase, purge]
