"""The kinds of values a setting can have, and the checks that a type alone can't do."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from marshmallow import ValidationError, fields, validate

from app.settings.secret import SecretField

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from app.settings.secret import Secret

HIGHEST_PORT = 65535
# What answers there tells about this machine and its cloud account, to whoever gets it asked.
_FORBIDDEN = tuple(
    map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32", "168.63.129.16/32"))
)
_METADATA = {"metadata", "instance-data"}
_ARGON2 = re.compile(r"\$argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
LONGEST = timedelta(days=3650)  # more is a slip, and a few of them lead behind the last day there is
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\]?")
WRONG = "not allowed"  # what is, stands with the field


class Duration(fields.Field[timedelta]):
    """A length of time written as `5s`, `30m`, `2h` or `1d`."""

    _units = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # noqa: RUF012  (marshmallow copies fields)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> timedelta:  # noqa: ANN401
        del attr, data, kwargs
        match = re.fullmatch(r"([0-9]{1,6})([smhd])", value) if isinstance(value, str) else None
        length = timedelta(seconds=int(match[1]) * self._units[match[2]]) if match else None
        if length is None or length > LONGEST:
            msg = f'allowed: a whole number and a unit, such as "5s", "30m", "2h", "1d", up to "{LONGEST.days}d"'
            raise ValidationError(msg)
        return length


class TextOrList(fields.Field[tuple[str, ...]]):
    """One text or a list of them; loads to a tuple."""

    def __init__(self, *, may_be_empty: bool = False, **kwargs: Any) -> None:  # noqa: ANN401  (marshmallow's own)
        """Take whether a list without anything in it is meant."""
        super().__init__(**kwargs)
        self.may_be_empty = may_be_empty

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:  # noqa: ANN401
        del attr, data, kwargs
        values = [value] if isinstance(value, str) else value
        wrong = not isinstance(values, list) or not all(isinstance(one, str) and one for one in values)
        if wrong or not (values or self.may_be_empty):
            msg = "allowed: a text or a list of texts"
            raise ValidationError(msg)
        return tuple(values)


class Flag(fields.Field[bool]):
    """`true` or `false`, and nothing that merely counts as one of them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ANN401
        del attr, data, kwargs
        if not isinstance(value, bool):
            msg = "allowed: true or false"
            raise ValidationError(msg)
        return value


class Number(fields.Field[float]):
    """A number between two others, both allowed; neither the text "2" nor `true` is one."""

    def __init__(self, default: float, low: float, high: float, *, whole: bool = True) -> None:
        """Take the default, the lowest and the highest number allowed."""
        super().__init__(load_default=default)
        self._low, self._high, self._kinds = low, high, int if whole else (int, float)
        self._allowed = f"allowed: a {'whole ' if whole else ''}number from {low} to {high}"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:  # noqa: ANN401
        del attr, data, kwargs
        fits = isinstance(value, self._kinds) and not isinstance(value, bool) and self._low <= value <= self._high
        if not fits:
            raise ValidationError(self._allowed)
        return float(value) if isinstance(value, float) else int(value)


class WebhookField(SecretField):
    """A web address that is itself a secret: over TLS, or to this machine."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:  # noqa: ANN401
        secret = super()._deserialize(value, attr, data, **kwargs)
        fault = _webhook_fault(secret.reveal())
        if fault:
            msg = f"the address that {secret.reference} holds {fault}"
            raise ValidationError(msg)
        return secret


def _webhook_fault(url: str) -> str | None:
    """Say what is wrong with a webhook's address, without repeating any of it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("https", "http") or not re.fullmatch(r"[!-~]+", url):
        return 'is no web address; allowed: "https://…"'
    if is_forbidden_host(host):
        return "leads to this machine's own link or cloud metadata; allowed: a host that takes messages"
    if parts.scheme == "http" and not _is_this_machine(host):
        return "begins with http://; allowed: https://, or http:// to this machine (loopback)"
    return None


def is_forbidden_host(host: str) -> bool:
    """Tell whether a host's name or address is link-local or a cloud's metadata service."""
    name = host.casefold().rstrip(".")
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return name in _METADATA or name.startswith("metadata.")
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in _FORBIDDEN if network.version == address.version)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold().rstrip(".") == "localhost"


def choice(default: str, *others: str) -> fields.String:
    """One of some words."""
    allowed = " or ".join(f'"{one}"' for one in (default, *others))
    return fields.String(
        load_default=default, validate=validate.OneOf((default, *others)), metadata={"allowed": allowed}
    )


def check_bind(text: str) -> None:
    """Refuse what isn't `address:port`."""
    host, _, port = text.rpartition(":")
    # Only ASCII digits: str.isdigit() also takes superscripts, which int() does not.
    if not _HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) <= HIGHEST_PORT:
        raise ValidationError(WRONG)


def check_store(text: str) -> None:
    """Refuse URLs of other databases, of none, and with a password inside."""
    parts = _split(text)
    if parts.password or any(name.casefold() == "password" for name, _ in parse_qsl(parts.query)):
        msg = 'allowed: no password inside the URL; give it as password = "env:NAME" below it'
        raise ValidationError(msg)
    if parts.scheme == "sqlite":
        if parts.path.startswith("/~"):
            msg = 'allowed: a path as it is ("~" is not expanded)'
            raise ValidationError(msg)
        # In memory, every process of ours would have a store of its own and a restart would lose all leads.
        named = parts.path.rpartition("/")[2] not in ("", ".", "..")
        on_disk = text.startswith("sqlite:///") and named and ":memory:" not in parts.path
        if not on_disk or parts.query:
            raise ValidationError(WRONG)
    elif parts.scheme != "postgresql":
        raise ValidationError(WRONG)


def check_url(text: str) -> None:
    """Refuse what isn't the beginning of a web address."""
    if not text:
        return
    parts = _split(text)
    extras = parts.username or parts.query or parts.fragment or re.search(r"\s", text)
    if parts.scheme not in ("http", "https") or not parts.hostname or extras:
        raise ValidationError(WRONG)


def check_addresses(values: tuple[str, ...]) -> None:
    """Refuse what isn't plain e-mail addresses."""
    for value in values:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", value):
            raise ValidationError(WRONG)


def check_networks(values: tuple[str, ...]) -> None:
    """Refuse what is neither a network nor an address."""
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            raise ValidationError(WRONG) from None


def check_growing(values: list[timedelta]) -> None:
    """Refuse lengths of time of which one is not longer than the one before."""
    if any(later <= earlier for earlier, later in zip([timedelta(), *values], values, strict=False)):
        raise ValidationError(WRONG)


def check_key(secret: Secret) -> None:
    """Refuse a source's key with white space in it: two keys in one file, say, which no sender could ever match."""
    if re.search(r"\s", secret.reveal()):
        msg = f"what {secret.reference} holds has white space in it; allowed: one key; list each by itself"
        raise ValidationError(msg)


def check_password(secret: Secret) -> None:
    """Refuse what begins as an argon2 hash and isn't a whole one: nobody could sign in, and nothing would say why."""
    text = secret.reveal()
    if text.startswith("$argon2") and not _ARGON2.fullmatch(text):
        msg = "what stands there begins as a hash and isn't a whole one; copy all that `leadwire hash-password` prints"
        raise ValidationError(msg)


def check_authority(text: str) -> None:
    """Refuse an address that a client secret must not be sent to: one without TLS, or with a path behind it."""
    check_url(text)
    parts = _split(text)
    if parts.scheme != "https" or parts.path.strip("/"):
        raise ValidationError(WRONG)


def check_domain(text: str) -> None:
    """Refuse what would silently match nobody: `*.edu`, `@edu`, an empty label."""
    if not re.fullmatch(r"\.?[^\s.@*/:?\[\]]+(\.[^\s.@*/:?\[\]]+)*\.?", text):
        raise ValidationError(WRONG)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # looked at now, so that a wrong one is found here
    except ValueError:
        raise ValidationError(WRONG) from None
    return parts
