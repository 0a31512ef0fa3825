"""`check`: would it run? `keys`: what senders are given."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import as_json, fail, say, steps, who, with_why
from app.settings import ConfigError, new_key
from app.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.cli import Context
    from app.operations import Operations
    from app.store.acts import Who


@click.command()
@click.option("--offline", is_flag=True, help="Only the configuration; call nobody.")
@click.option("--destination", "names", multiple=True, metavar="NAME", help="Only this one; can be given again.")
@with_why
@click.pass_obj
@as_json
def check(obj: Context, *, offline: bool, names: tuple[str, ...], why: str, json_: bool) -> None:
    """Check the configuration, then the store and each destination for real; exit 1 if anything is wrong."""
    try:
        wiring = obj.wiring
        if offline:
            say({"ok": True, "destinations": []}, f"{wiring.settings.where}: nothing wrong", json_=json_)
            return
        wiring.store.migrate()
        wiring.store.check_writable()
        wiring.store.keyring.unlock()
    except ConfigError as exc:  # that is what is checked: exit 1, and the answer keeps its shape
        fail(str(exc), json_=json_, destinations=[])
    except StoreUnavailable as exc:
        fail(f"The store can't be used. {exc}", json_=json_, destinations=[])
    for name in names:
        wiring.operations.see_configured(name)
    found = _check_all(wiring.operations, names or wiring.operations.kinds, by=who(why), quiet=json_)
    ok = all(one["ok"] for one in found)
    lines = [f"ok      {wiring.store.name}: writable", _encryption(wiring.store.keyring.reference)]
    for one in found:
        lines.append(f"{'ok    ' if one['ok'] else 'WRONG '}  {one['name']} ({one['type']}): {one['detail']}")
        if not one["ok"]:
            lines += [f"        {one['code']}", steps(one["remedy"], indent="        ")]
    say({"ok": ok, "destinations": found}, "\n".join(lines), json_=json_)
    sys.exit(0 if ok else 1)


def _encryption(master: str) -> str:
    if master:
        return f"ok      encryption: the master key is {master}"
    return (
        "beware  encryption: there is no master key, so that whoever has the database reads the leads; "
        "set [encryption] key, then run `leadwire encryption rotate`"
    )


def _check_all(operations: Operations, names: Collection[str], *, by: Who, quiet: bool) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        futures = {pool.submit(operations.check, name, who=by): name for name in names}
        hidden = quiet or not sys.stderr.isatty()
        with click.progressbar(as_completed(futures), len(futures), "Checking", hidden=hidden, file=sys.stderr) as bar:
            found = {futures[future]: future.result() for future in bar}
    return [found[name] for name in names]


@click.group()
def keys() -> None:
    """Make keys for sources."""


@keys.command()
@click.option("--json", "json_", is_flag=True, help="Answer in JSON.")
def new(*, json_: bool) -> None:
    """Print a fresh key for a source; list it in the source's `keys`, next to the old one while you rotate."""
    key = new_key()
    click.echo(json.dumps({"key": key}) if json_ else key)


COMMANDS = [check, keys]
