"""What `serve` and `work` do before they run: secrets, the store's schema, and a word to who started them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

import click

from app.log import configure_logging, logger
from app.processes import end_with_parent
from app.serving import CannotListen, check_address
from app.serving import serve as run_server
from app.settings import ConfigError, find_config, issue_secrets
from app.store import Incompatible, StoreUnavailable, is_fresh

if TYPE_CHECKING:
    import subprocess

    from app.cli import Context
    from app.wiring import Wiring

WEAK_KEY = 16  # characters; `leadwire keys new` prints 43
STORE_PATIENCE = 30.0  # seconds that a database may take to come up with us


def serve(
    obj: Context, receivers: subprocess.Popen[bytes], *, bind: str | None, with_worker: bool, json_: bool
) -> None:
    """Run the server until it is stopped; `receivers` wait to be told where."""
    configure_logging()
    try:
        made = issue_secrets(find_config(obj.config), is_fresh=is_fresh)
        _migrate(obj.wiring)
        address = bind or obj.wiring.settings.server.bind
        check_address(address)
        _banner(obj.wiring, made, bind)
        warn_of_weak_keys(obj.wiring)
        run_server(obj.wiring, receivers, bind=address, with_worker=with_worker)
    except (ConfigError, CannotListen) as exc:
        _fail(str(exc), json_=json_, status=2)
    except StoreUnavailable as exc:
        _fail(f"[store] url: the store can't be used. {exc}", json_=json_)


def work(obj: Context, *, json_: bool) -> None:
    """Run a worker until it is stopped."""
    from app.worker import work as run_worker  # noqa: PLC0415  (`serve` waits for no such thing)

    configure_logging()
    end_with_parent()
    try:
        _migrate(obj.wiring)
    except ConfigError as exc:
        _fail(str(exc), json_=json_, status=2)
    except StoreUnavailable as exc:
        _fail(f"The store can't be used. {exc}", json_=json_)
    sys.exit(0 if run_worker(obj.wiring) else 1)


def _fail(message: str, *, json_: bool, status: int = 1) -> NoReturn:
    from app.cli.output import fail  # noqa: PLC0415  (who starts well does not wait for it)

    fail(message, json_=json_, status=status)


def _migrate(wiring: Wiring) -> None:
    ends = time.monotonic() + STORE_PATIENCE
    while True:
        try:
            wiring.store.migrate()
            wiring.store.keyring.unlock()
        except StoreUnavailable as exc:
            if time.monotonic() > ends or isinstance(exc, Incompatible):
                raise
            logger("serving").warning("store.awaited", reason=str(exc))
            time.sleep(1)
        else:
            return


def warn_of_weak_keys(wiring: Wiring) -> None:
    """Log which sources' keys somebody could guess, by where they are."""
    for name, source in wiring.settings.sources.items():
        for key in source.keys:
            if len(key.reveal()) < WEAK_KEY:
                logger("serving").warning("source.key-weak", source=name, key=key.reference, better="leadwire keys new")


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
