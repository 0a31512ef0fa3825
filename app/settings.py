"""The configuration file: read, checked to the last key, secrets fetched from where they live.

A setting that is unknown or wrong refuses to start with a `ConfigError` that names the file, the key, what
was found and what is allowed. Secrets never stand in the file: `env:NAME` or `file:/path` says where they are.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, pre_load, validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_FILE = Path("config/leadwire.toml")


class ConfigError(Exception):
    """The configuration can't be used; the message says which file and key, what was found, what is allowed."""


class Secret:
    """A secret that can't be printed by accident; `reveal()` gives the text."""

    __slots__ = ("_text", "reference")

    def __init__(self, text: str, *, reference: str = "") -> None:
        """Keep `text`; `reference` ("env:NAME", "file:/path") is what may be shown."""
        self._text = text
        self.reference = reference

    def reveal(self) -> str:
        """Give the secret itself."""
        return self._text

    def __repr__(self) -> str:
        return f"<secret {self.reference}>"


def read_secret(reference: object) -> Secret:
    """Fetch the secret that `env:NAME` or `file:/path` points at.

    Raises:
        ValidationError: the reference is a literal, or nothing is there. The message never repeats the value.

    """
    kind, _, where = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if kind == "env" and where:
        text = os.environ.get(where, "")
        missing = f"the environment variable {where} is not set or empty"
    elif kind == "file" and where:
        path = Path(where)
        try:
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            text, missing = "", f"the file {path} can't be read ({type(exc).__name__})"
        else:
            missing = f"the file {path} is empty"
    else:
        msg = 'a secret is never written here: give "env:NAME" or "file:/path"'
        raise ValidationError(msg)
    if not text:
        raise ValidationError(missing)
    return Secret(text, reference=f"{kind}:{where}")


class SecretField(fields.Field[Secret]):
    """A setting whose value is `env:NAME` or `file:/path`; loads to a `Secret`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:  # noqa: ANN401
        del attr, data, kwargs
        return read_secret(value)


class Duration(fields.Field[timedelta]):
    """A length of time written as `5s`, `30m`, `2h` or `1d`."""

    _units = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # noqa: RUF012  (marshmallow copies fields)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> timedelta:  # noqa: ANN401
        del attr, data, kwargs
        match = re.fullmatch(r"(\d{1,6})([smhd])", value) if isinstance(value, str) else None
        if match is None:
            msg = 'allowed: a whole number and a unit, such as "5s", "30m", "2h", "1d"'
            raise ValidationError(msg)
        return timedelta(seconds=int(match[1]) * self._units[match[2]])


class TextOrList(fields.Field[tuple[str, ...]]):
    """One text or a list of them; loads to a tuple."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:  # noqa: ANN401
        del attr, data, kwargs
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not values or not all(isinstance(one, str) and one for one in values):
            msg = "allowed: a text or a list of texts"
            raise ValidationError(msg)
        return tuple(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where and how leads are received."""

    bind: str
    workers: int
    max_body_bytes: int
    trusted_proxies: int
    public_url: str

    @property
    def address(self) -> tuple[str, int]:
        """Give host and port."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Which database."""

    url: str
    password: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Whose data is withheld."""

    withhold_domains: tuple[str, ...]
    edu_action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """How long the same lead counts as the same."""

    window_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLeads:
    """What happens to test leads; `destinations` None means wherever customers' leads go."""

    deliver: bool
    keep_days: int
    destinations: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """When to try again, and how long a worker may hold a lead."""

    schedule: tuple[timedelta, ...]
    lease_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept, in days."""

    leads_days: int
    quarantine_days: int
    attempts_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """How people sign in."""

    enabled: bool
    password: Secret | None
    sign_in: str
    tenant_id: str | None
    client_id: str | None
    client_secret: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Who is told when something needs a person; `via` names an e-mail destination."""

    to: tuple[str, ...]
    via: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One sender: its live keys and where its leads go by default."""

    keys: tuple[Secret, ...]
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where leads go that match every given condition; None matches all."""

    offer: tuple[str, ...] | None
    action: tuple[str, ...] | None
    source: tuple[str, ...] | None
    test: bool | None
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration; `destinations` holds each table as it stands, for its type's own schema."""

    server: Server
    store: Store
    privacy: Privacy
    duplicates: Duplicates
    test_leads: TestLeads
    delivery: Delivery
    retention: Retention
    console: Console
    alerts: Alerts
    sources: dict[str, Source]
    routes: tuple[Route, ...]
    destinations: dict[str, dict[str, Any]]
    path: Path | None  # None: the defaults

    @property
    def where(self) -> str:
        """Name the configuration for messages."""
        return str(self.path) if self.path else "the built-in defaults"


class _Section(Schema):
    class Meta:
        unknown = RAISE


def _number(default: float, low: float, high: float, *, whole: bool = True) -> fields.Field[Any]:
    kind = fields.Integer(strict=True, load_default=int(default), validate=validate.Range(low, high)) if whole else None
    made = kind or fields.Float(load_default=default, validate=validate.Range(low, high))
    made.metadata["allowed"] = f"a {'whole ' if whole else ''}number from {low} to {high}"
    return made


def _choice(default: str, *others: str) -> fields.String:
    allowed = " or ".join(f'"{one}"' for one in (default, *others))
    return fields.String(
        load_default=default, validate=validate.OneOf((default, *others)), metadata={"allowed": allowed}
    )


def _flag(*, default: bool) -> fields.Boolean:
    return fields.Boolean(load_default=default, truthy={True}, falsy={False}, metadata={"allowed": "true or false"})


def _check_bind(text: str) -> None:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65536):  # noqa: PLR2004
        raise ValidationError("")


def _check_store(text: str) -> None:
    parts = urlsplit(text)
    if parts.password:
        msg = 'allowed: no password inside the URL; give it as password = "env:NAME" below it'
        raise ValidationError(msg)
    if parts.scheme not in ("sqlite", "postgresql") or (parts.scheme == "sqlite" and len(parts.path) <= 1):
        raise ValidationError("")


def _check_url(text: str) -> None:
    if text and urlsplit(text).scheme not in ("http", "https"):
        raise ValidationError("")


class _Server(_Section):
    bind = fields.String(
        load_default="127.0.0.1:8080",
        validate=_check_bind,
        metadata={"allowed": 'an address and a port, such as "127.0.0.1:8080"'},
    )
    workers = _number(2, 1, 64)
    max_body_bytes = _number(65536, 1024, 16 * 1024 * 1024)
    trusted_proxies = _number(0, 0, 10)
    public_url = fields.String(
        load_default="",
        validate=_check_url,
        metadata={"allowed": 'how the outside reaches this server, such as "https://leads.contoso.example"'},
    )

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Server:
        data["public_url"] = (data["public_url"] or f"http://{data['bind']}").rstrip("/")
        return Server(**data)


class _Store(_Section):
    url = fields.String(
        load_default="sqlite:///var/leadwire.db",
        validate=_check_store,
        metadata={"allowed": '"sqlite:///PATH" or "postgresql://USER@HOST/DATABASE"'},
    )
    password = SecretField(load_default=None)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Store:
        return Store(**data)


class _Privacy(_Section):
    withhold_domains = fields.List(
        fields.String(validate=validate.Regexp(r"^[^@\s]+$")),
        load_default=["edu"],
        metadata={"allowed": 'a list of domains, such as ["edu"]'},
    )
    edu_action = _choice("withhold", "deliver")

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Privacy:
        return Privacy(withhold_domains=tuple(data["withhold_domains"]), edu_action=data["edu_action"])


class _Duplicates(_Section):
    window_hours = _number(24, 0, 24 * 365, whole=False)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Duplicates:
        return Duplicates(**data)


class _TestLeads(_Section):
    deliver = _flag(default=True)
    keep_days = _number(7, 1, 3650)
    destinations = TextOrList(load_default=None)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> TestLeads:
        return TestLeads(**data)


class _Delivery(_Section):
    schedule = fields.List(
        Duration(),
        load_default=[timedelta(seconds=s) for s in (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)],
        validate=validate.Length(min=1, max=100),
        metadata={"allowed": 'a list of waits, such as ["0s", "5s", "5m"]'},
    )
    lease_seconds = _number(180, 5, 3600)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Delivery:
        return Delivery(schedule=tuple(data["schedule"]), lease_seconds=data["lease_seconds"])


class _Retention(_Section):
    leads_days = _number(180, 1, 36500)
    quarantine_days = _number(30, 1, 36500)
    attempts_days = _number(180, 1, 36500)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Retention:
        return Retention(**data)


class _Console(_Section):
    enabled = _flag(default=True)
    password = SecretField(load_default=None)
    sign_in = _choice("password", "entra")
    tenant_id = fields.String(load_default=None)
    client_id = fields.String(load_default=None)
    client_secret = SecretField(load_default=None)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Console:
        return Console(**data)


class _Alerts(_Section):
    to = TextOrList(load_default=())
    via = fields.String(load_default=None)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Alerts:
        return Alerts(**data)


class _Source(_Section):
    keys = fields.List(
        SecretField(),
        required=True,
        validate=validate.Length(min=1),
        metadata={"allowed": 'a list of "env:NAME" or "file:/path"'},
    )
    destinations = TextOrList(required=True)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Source:
        return Source(keys=tuple(data["keys"]), destinations=data["destinations"])


class _When(_Section):
    offer = TextOrList(load_default=None)
    action = TextOrList(load_default=None)
    source = TextOrList(load_default=None)
    test = fields.Boolean(load_default=None, truthy={True}, falsy={False}, metadata={"allowed": "true or false"})


class _Route(_Section):
    when = fields.Nested(_When, load_default=lambda: _When().load({}))
    to = TextOrList(required=True)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Route:
        return Route(**data["when"], to=data["to"])


def _section(schema: type[Schema]) -> fields.Nested:
    return fields.Nested(schema, load_default=lambda: schema().load({}))


class SettingsSchema(_Section):
    """The whole file; every section may be left out."""

    server = _section(_Server)
    store = _section(_Store)
    privacy = _section(_Privacy)
    duplicates = _section(_Duplicates)
    test_leads = _section(_TestLeads)
    delivery = _section(_Delivery)
    retention = _section(_Retention)
    console = _section(_Console)
    alerts = _section(_Alerts)
    sources = fields.Dict(keys=fields.String(), values=fields.Nested(_Source), required=True)
    routes = fields.List(fields.Nested(_Route), load_default=[])
    destinations = fields.Dict(
        keys=fields.String(
            validate=validate.Regexp(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$", error="allowed: a short name")
        ),
        values=fields.Dict(),
        required=True,
    )

    @pre_load
    def _fill(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        return with_defaults(data)


def with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """Fill in the tables that depend on each other: destinations, sources (all destinations), their key files."""
    document = dict(document)
    destinations = document.setdefault("destinations", {"archive": {"type": "file", "path": "var/leads.jsonl"}})
    sources = document.get("sources", {"marketplace": {}})
    if isinstance(sources, dict) and isinstance(destinations, dict):
        document["sources"] = {
            name: {"keys": [f"file:var/{name}.key"], "destinations": list(destinations), **source}
            if isinstance(source, dict)
            else source
            for name, source in sources.items()
        }
    console = document.get("console", {})
    if isinstance(console, dict) and console.get("enabled", True) and console.get("sign_in", "password") == "password":
        document["console"] = {"password": "file:var/console.password", **console}
    return document


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
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        msg = f"{path}: the configuration file can't be read: {exc.strerror}. Name another with --config FILE."
        raise ConfigError(msg) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
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
    known = set(settings.destinations)
    named = [(f"[sources.{name}] destinations", source.destinations) for name, source in settings.sources.items()]
    named += [(f"[[routes]] {number} to", route.to) for number, route in enumerate(settings.routes, 1)]
    named += [("[test_leads] destinations", settings.test_leads.destinations or ())]
    named += [("[alerts] via", (settings.alerts.via,) if settings.alerts.via else ())]
    for where, names in named:
        for name in names:
            if name not in known:
                allowed = ", ".join(sorted(known)) or "none is configured"
                yield f"{where}: found {name!r}; allowed: the name of a destination ({allowed})"
    owners: dict[str, str] = {}
    for name, source in settings.sources.items():
        for key in source.keys:
            other = owners.setdefault(key.reveal(), name)
            if other != name:
                yield f"[sources.{name}] keys: found a key that [sources.{other}] has too; allowed: a key of its own"


def config_error(path: Path | None, exc: ValidationError, document: Mapping[str, Any], schema: Schema) -> ConfigError:
    """Say each fault of a validation as `file: [section] key: found …; allowed: …`; secrets' values are never said."""
    where = str(path) if path else "the built-in defaults"
    lines = [
        f"{where}: {_fault(keys, message, document, schema)}" for keys, message in _flatten(exc.normalized_messages())
    ]
    return ConfigError("\n".join(lines))


def _flatten(messages: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:  # noqa: ANN401
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flatten(inner, keys if key in ("value", "_schema") else (*keys, key))
    else:
        for text in messages if isinstance(messages, list) else [messages]:
            yield keys, str(text)


def _fault(keys: tuple[Any, ...], message: str, document: Any, schema: Schema) -> str:  # noqa: ANN401
    name = f"[{'.'.join(str(key) for key in keys[:-1])}] {keys[-1]}" if len(keys) > 1 else f"{''.join(map(str, keys))}"
    level, one = _field_at(schema, keys)
    if one is None and level is not None:
        allowed = [field.data_key or key for key, field in level.fields.items()]
        near = difflib.get_close_matches(str(keys[-1]), allowed, n=1) if keys else []
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{name}: unknown setting{hint}; allowed here: {', '.join(allowed)}"
    if isinstance(one, SecretField) or (isinstance(one, fields.List) and isinstance(one.inner, SecretField)):
        return f"{name}: {message}"
    found: Any = document
    for key in keys:
        found = found[key] if isinstance(found, dict | list) and _has(found, key) else None
    allowed_text = one.metadata.get("allowed") if one is not None else None
    says = f"allowed: {allowed_text}" if allowed_text and not message.startswith("allowed") else message
    if found is None:
        return f"{name}: missing; {says}"
    shown = re.sub(r"://([^:/@]*):[^@]*@", r"://\1:***@", repr(found))
    return f"{name}: found {shown}; {says}"


def _has(container: dict[Any, Any] | list[Any], key: Any) -> bool:  # noqa: ANN401
    return key in container if isinstance(container, dict) else isinstance(key, int) and key < len(container)


def _field_at(schema: Schema, keys: tuple[Any, ...]) -> tuple[Schema | None, fields.Field[Any] | None]:
    """The schema level that the last key stands in, and its field there, None where the key is unknown."""
    level: Schema | None = schema
    one: fields.Field[Any] | None = None
    for key in keys:
        if isinstance(one, fields.Dict | fields.List):
            one = one.value_field if isinstance(one, fields.Dict) else one.inner
        elif level is not None:
            one = next((field for name, field in level.fields.items() if key in (name, field.data_key)), None)
            if one is None:
                return level, None
        level = one.schema if isinstance(one, fields.Nested) else None
    return level, one


def issue_secrets(path: Path | None) -> list[Path]:
    """On the very first start, make the keys and the console password that `file:` names and that don't exist yet.

    Only while the SQLite store does not exist: later a missing key file is a mistake (a lost mount, say), and a new
    key made in its place would turn every lead away. Files are made with mode 0600; gives their paths.
    """
    document = with_defaults(read_document(path))
    url = document.get("store", {}).get("url", "sqlite:///var/leadwire.db")
    if not str(url).startswith("sqlite:///") or Path(str(url).removeprefix("sqlite:///")).exists():
        return []
    references = [key for source in document["sources"].values() for key in source.get("keys", ())]
    references += [document.get("console", {}).get("password", "")]
    made = []
    for reference in references:
        target = Path(str(reference).removeprefix("file:"))
        if str(reference).startswith("file:") and not target.exists():
            write_secret(target, new_key())
            made.append(target)
    return made


def new_key() -> str:
    """Make a fresh key: 32 random bytes, safe in a URL."""
    return secrets.token_urlsafe(32)


def write_secret(path: Path, text: str) -> None:
    """Write a secret that only the owner may read; refuses to replace an existing file (FileExistsError)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
