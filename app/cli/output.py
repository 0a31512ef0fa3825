"""How commands speak: JSON for scripts, tables and sentences for people, one way to fail."""

from __future__ import annotations

import getpass
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

import click

from app.operations import NotPossible
from app.settings import ConfigError
from app.store import StoreUnavailable
from app.store.acts import Who
from app.store.tables import to_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNITS = {"m": 60, "h": 3600, "d": 86400}


def as_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` and the one way to fail: what can't be done is said on standard error, exit 1 (2: configuration)."""

    @click.option("--json", "json_", is_flag=True, help="Answer in JSON.")
    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return function(*args, **kwargs)
        except ConfigError as exc:
            fail(str(exc), json_=kwargs["json_"], status=2)
        except NotPossible as exc:
            fail(str(exc), json_=kwargs["json_"])
        except UnicodeError:
            fail("An argument is not readable text.", json_=kwargs["json_"])
        except StoreUnavailable as exc:
            fail(f"The store can't be used. {exc}", json_=kwargs["json_"])

    return command


def with_why(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--why`, the reason that the audit keeps."""
    text = "A reason, for the audit (no personal data)."
    return click.option("--why", default="", metavar="TEXT", help=text)(function)


def fail(message: str, *, json_: bool, status: int = 1, **more: Any) -> NoReturn:  # noqa: ANN401
    """Say what is wrong and end; `more` are further members of the JSON."""
    if json_:
        click.echo(json.dumps({"ok": False, "error": message, **more}))
    else:
        click.echo(message, err=True)
    sys.exit(status)


def say(document: Any, text: str, *, json_: bool) -> None:  # noqa: ANN401
    """Print the document for scripts or the text for people."""
    click.echo(json.dumps(document, ensure_ascii=False) if json_ else text)


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, empty: str) -> str:
    """Lay rows out under the columns' names; control characters in values stay out of the terminal."""
    if not rows:
        return empty
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    heads = [column.replace("_", " ").upper() for column in columns]
    widths = [max(len(line[index]) for line in (heads, *cells)) for index in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (heads, *cells)]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {one}" for key, one in value.items())
    if isinstance(value, bool):
        value = "yes" if value else ""
    return printable("" if value is None else str(value))


def printable(text: str) -> str:
    """Give text that a terminal shows and doesn't obey."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def steps(remedy: Sequence[str], *, indent: str = "  ") -> str:
    """Number the steps of a remedy."""
    return "\n".join(f"{indent}{number}. {step}" for number, step in enumerate(remedy, 1))


class Moment(click.ParamType[int]):
    """A moment as `2026-11-20`, `2026-11-20T23:51:00Z`, or how long ago: `30m`, `2h`, `7d`; gives milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Read it; without a zone it is UTC."""
        ago = re.fullmatch(r"(\d{1,5})([mhd])", str(value))
        if ago:
            return to_ms(datetime.now(UTC) - timedelta(seconds=int(ago[1]) * UNITS[ago[2]]))
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time: give 2026-11-20, 2026-11-20T23:51:00Z, 30m, 2h or 7d.", param, ctx)
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def who(why: str = "") -> Who:
    """Give who types, for the audit."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return Who(f"cli:{user}", why)
