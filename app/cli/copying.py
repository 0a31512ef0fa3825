"""`copy-store`: the SQLite store moves to PostgreSQL while leads come in."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click
from marshmallow import ValidationError

from app.cli.output import as_json, fail, say, table
from app.settings import check_store, read_secret
from app.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.cli import Context
    from app.store import Store
    from app.store.copying import Copy

QUIET = 30  # seconds that what workers have under way may take to end
NEXT = """Nothing is taken here any more. Put this into the configuration of every host, then restart:

  [store]
  url = "{url}"
  [encryption]
  key = "{key}"
"""


@click.command("copy-store")
@click.argument("url")
@click.option("--password", metavar="REFERENCE", help="Where the target's password is: env:NAME or file:/path.")
@click.option("--yes", is_flag=True, help="Don't ask before the store here is closed.")
@click.option("--abandon", is_flag=True, help="Forget a copy that is not finished; the target may be dropped then.")
@click.pass_obj
@as_json
def copy_store(obj: Context, *, url: str, password: str | None, yes: bool, abandon: bool, json_: bool) -> None:
    """Move the SQLite store to the empty PostgreSQL database at URL, while it takes leads.

    What was cut off goes on where it was when the same command is given again. Only at the end, when everything is
    copied and compared, the store here is closed: from then on it answers 503 and says where the leads are.
    """
    from app.store import copying  # noqa: PLC0415  (only this command needs it)

    settings = obj.wiring.settings
    if not settings.store.url.startswith("sqlite:"):
        fail(f"[store] url: {obj.wiring.store.name} is configured; only a SQLite store is copied.", json_=json_)
    if abandon:
        copying.abandon(obj.wiring.store)
        say({"ok": True, "abandoned": True}, "Forgotten; the store here goes on.", json_=json_)
        return
    target = _target(url, password, json_=json_)
    copy = copying.Copy(obj.wiring.store, target, now=obj.wiring.now)
    try:
        tables = _move(copy, yes=yes, quiet=json_)
    except copying.CopyFault as exc:
        fail(str(exc), json_=json_)
    finally:
        target.close()
    key = obj.wiring.store.keyring.reference
    shown = table(tables, ("table", "rows", "digest"), empty="")
    document = {"ok": True, "url": url, "encryption_key": key, "tables": tables}
    say(document, f"{shown}\n\n{NEXT.format(url=url, key=key)}", json_=json_)


def _target(url: str, password: str | None, *, json_: bool) -> Store:
    """Open the target; what is wrong with its URL or password is said."""
    try:
        check_store(url)
        allowed = url.startswith("postgresql:")
    except ValidationError:
        allowed = False
    if not allowed:
        fail("URL: allowed: postgresql://USER@HOST/DATABASE; its password goes into --password", json_=json_, status=2)
    try:
        secret = read_secret(password) if password else None
    except ValidationError as exc:
        fail(f"--password: {exc.messages[0]}", json_=json_, status=2)
    return open_store(url, secret)


def _move(copy: Copy, *, yes: bool, quiet: bool) -> list[dict[str, Any]]:
    """Copy, compare, close; gives what each table holds."""
    closed = copy.prepare()
    if not closed:
        with _bar(copy.left(), "Copying", quiet=quiet) as step:
            copy.run(step)
    with _bar(copy.total(), "Comparing", quiet=quiet) as step:
        proved = copy.prove(step, closed=closed)
    if not closed:
        if not yes:
            click.confirm("Everything is copied and compared. Close the store here and move?", abort=True, err=True)
        copy.quieten(seconds=QUIET)
        proved = copy.move()
    copy.open()
    return [{"table": name, "rows": one.rows, "digest": one.digest} for name, one in proved.items()]


@contextlib.contextmanager
def _bar(length: int, label: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    hidden = quiet or not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, hidden=hidden, file=sys.stderr) as bar:
        yield bar.update


COMMANDS = [copy_store]
