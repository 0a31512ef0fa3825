"""From a file to settings, or to a `ConfigError` that says what to change."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from app.settings.defaults import with_defaults
from app.settings.faults import ConfigError, config_error
from app.settings.model import Settings
from app.settings.schema import SettingsSchema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

DEFAULT_FILE = Path("config/leadwire.toml")


def find_config(given: str | None) -> Path | None:
    """Name the configuration file: the one given, `LEADWIRE_CONFIG`, `config/leadwire.toml`, or None for defaults."""
    named = given or os.environ.get("LEADWIRE_CONFIG")
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def read_document(path: Path | None) -> dict[str, Any]:
    """Read the TOML file into plain tables.

    Raises:
        ConfigError: it can't be read or is not TOML.

    """
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as exc:
        msg = f"{path}: the configuration file can't be read: {exc.strerror}. Name another with --config FILE."
        raise ConfigError(msg) from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        msg = f"{path}: not valid TOML: line {line} is not UTF-8; save the file in that encoding."
        raise ConfigError(msg) from None
    except tomllib.TOMLDecodeError as exc:
        msg = f"{path}: not valid TOML: {exc}"
        raise ConfigError(msg) from exc


def load_settings(path: Path | None) -> Settings:
    """Read and check the configuration.

    Raises:
        ConfigError: names file, key, what was found and what is allowed; one line a fault.

    """
    document = read_document(path)
    schema = SettingsSchema()
    try:
        loaded: dict[str, Any] = schema.load(document)
    except ValidationError as exc:
        raise config_error(path, exc, with_defaults(document), schema) from None
    loaded["routes"] = tuple(loaded["routes"])
    settings = Settings(**loaded, path=path)
    faults = list(_dangling(settings))
    if faults:
        raise ConfigError("\n".join(f"{settings.where}: {fault}" for fault in faults))
    return settings


def _dangling(settings: Settings) -> Iterator[str]:
    """Names that point at nothing, and keys that belong to two sources."""
    routes = list(enumerate(settings.routes, 1))
    named = [(f"[sources.{name}] destinations", source.destinations) for name, source in settings.sources.items()]
    named += [(f"[routes #{number}] to", route.to) for number, route in routes]
    named += [("[test_leads] destinations", settings.test_leads.destinations or ())]
    named += [("[alerts] via", (settings.alerts.via,) if settings.alerts.via else ())]
    for where, names in named:
        yield from _unknown(where, names, settings.destinations, "a destination")
    yield from _no_mail(settings)
    for number, route in routes:
        yield from _unknown(f"[routes #{number}.when] source", route.source or (), settings.sources, "a source")
    owners: dict[str, str] = {}
    for name, source in settings.sources.items():
        for key in source.keys:
            other = owners.setdefault(key.reveal(), name)
            if other != name:
                yield f"[sources.{name}] keys: found a key that [sources.{other}] has too; allowed: a key of its own"


def _no_mail(settings: Settings) -> Iterator[str]:
    """An `[alerts] via` that can't mail."""
    via = settings.alerts.via
    kind = settings.destinations.get(via, {}).get("type") if via else None
    if via in settings.destinations and kind != "email":
        mails = [name for name, table in settings.destinations.items() if table.get("type") == "email"]
        allowed = f'the name of a destination of type "email" ({", ".join(sorted(mails)) or "none is configured"})'
        yield f"[alerts] via: found {via!r}, which is of type {kind!r}; allowed: {allowed}"


def _unknown(where: str, names: Iterable[str], known: Collection[str], what: str) -> Iterator[str]:
    allowed = ", ".join(sorted(known)) or "none is configured"
    for name in names:
        if name not in known:
            yield f"{where}: found {name!r}; allowed: the name of {what} ({allowed})"
