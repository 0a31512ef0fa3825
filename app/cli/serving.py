"""`serve`, `work`, `check`, `keys`: running it, and seeing whether it would run."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from app.cli.output import as_json, fail, say, steps, who, with_why
from app.log import configure_logging, logger
from app.serving import CannotListen, end_with_parent
from app.serving import serve as run_server
from app.settings import ConfigError, find_config, issue_secrets, new_key
from app.store import StoreUnavailable, is_fresh
from app.worker import work as run_worker

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.cli import Context
    from app.operations import Operations
    from app.store.acts import Who
    from app.wiring import Wiring

STORE_PATIENCE = 30.0  # seconds that a database may take to come up with us


@click.command()
@click.option("--no-worker", is_flag=True, help="Only receive; deliver with `leadwire work`, on any host.")
@click.option(
    "--bind", metavar="HOST:PORT", help="Listen here instead of [server] bind (containers need 0.0.0.0:8080)."
)
@click.pass_obj
def serve(obj: Context, *, no_worker: bool, bind: str | None) -> None:
    """Receive leads and deliver them: receivers and worker in one process group."""
    configure_logging()
    try:
        made = issue_secrets(find_config(obj.config), is_fresh=is_fresh)
        _migrate(obj.wiring)
        _banner(obj.wiring, made, bind)
        run_server(obj.wiring.settings, bind=bind or obj.wiring.settings.server.bind, with_worker=not no_worker)
    except (ConfigError, CannotListen) as exc:
        fail(str(exc), json_=False, status=2)
    except StoreUnavailable as exc:
        fail(f"[store] url: the store can't be used. {exc}", json_=False)


@click.command()
@click.pass_obj
def work(obj: Context) -> None:
    """Deliver leads, without receiving any; any number of these on PostgreSQL."""
    configure_logging()
    end_with_parent()
    try:
        _migrate(obj.wiring)
    except ConfigError as exc:
        fail(str(exc), json_=False, status=2)
    except StoreUnavailable as exc:
        fail(f"The store can't be used. {exc}", json_=False)
    sys.exit(0 if run_worker(obj.wiring) else 1)


def _migrate(wiring: Wiring) -> None:
    ends = time.monotonic() + STORE_PATIENCE
    while True:
        try:
            wiring.store.migrate()
        except StoreUnavailable as exc:
            if time.monotonic() > ends:
                raise
            logger("serving").warning("store.awaited", reason=str(exc))
            time.sleep(1)
        else:
            return


def _banner(wiring: Wiring, made: list[Path], bind: str | None) -> None:
    """Tell a person where to go; on standard error, because standard output is the log."""
    settings = wiring.settings
    lines = [f"Leadwire runs on {settings.server.public_url}" + (f", listening on {bind}" if bind else "")]
    lines += [f"  made {path} (only you can read it)" for path in made]
    for name, source in settings.sources.items():
        key = source.keys[0]
        # Whatever collects our output later must not collect keys; who has just got one, or sits there, may see it.
        fresh = key.reference.removeprefix("file:") in map(str, made)
        shown = quote(key.reveal(), safe="") if fresh or sys.stderr.isatty() else f"(the key in {key.reference})"
        lines.append(f"  paste into Partner Center ({name}):  {settings.server.public_url}/leads?code={shown}")
    typed = sys.argv[0] if Path(sys.argv[0]).name == "leadwire" else "leadwire"
    if settings.console.enabled:
        secret = settings.console.password
        where = f" (the password is in {secret.reference})" if secret and settings.console.sign_in == "password" else ""
        lines.append(f"  look at it:  {settings.server.public_url}/console/{where}")
    lines += [f"  see it work:  {typed} send-test", "  stop with Ctrl-C"]
    click.echo("\n".join(lines), err=True)


@click.command()
@click.option("--offline", is_flag=True, help="Only the configuration; call nobody.")
@click.option("--destination", "names", multiple=True, metavar="NAME", help="Only this one; can be given again.")
@with_why
@click.pass_obj
@as_json
def check(obj: Context, *, offline: bool, names: tuple[str, ...], why: str, json_: bool) -> None:
    """Check the configuration, then the store and each destination for real; exit 1 if anything is wrong."""
    wiring = obj.wiring
    if offline:
        say({"ok": True, "destinations": []}, f"{wiring.settings.where}: nothing wrong", json_=json_)
        return
    wiring.store.migrate()
    wiring.store.check_writable()
    for name in names:
        wiring.operations.see_configured(name)
    found = _check_all(wiring.operations, names or wiring.operations.kinds, by=who(why), quiet=json_)
    ok = all(one["ok"] for one in found)
    lines = [f"ok      {wiring.store.name}: writable"]
    for one in found:
        lines.append(f"{'ok    ' if one['ok'] else 'WRONG '}  {one['name']} ({one['type']}): {one['detail']}")
        if not one["ok"]:
            lines += [f"        {one['code']}", steps(one["remedy"], indent="        ")]
    say({"ok": ok, "destinations": found}, "\n".join(lines), json_=json_)
    sys.exit(0 if ok else 1)


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


COMMANDS = [serve, work, check, keys]
