"""The settings of the e-mail destination, each checked alone and all checked together."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.destinations.base import NetworkSchema, is_loopback, no_control
from app.settings import ReferenceField, SecretField

PORTS = {"starttls": 587, "tls": 465, "none": 25}

# One address as SMTP commands and headers can carry it without quoting or SMTPUTF8.
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_HTTPS = re.compile(r"https://[A-Za-z0-9.\[\]:-]+(/[!-~]*)?")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0]")

_ALWAYS = {"type", "transport", "from_address", "to", "personal_data", "ca_bundle"}
_SIGN_IN = {"tenant_id", "client_id", "client_secret"}
_LINE = {"port", "security", "auth"}
# what was chosen → (settings that must be there, settings that may be)
_KINDS: dict[str, tuple[set[str], set[str]]] = {
    'transport = "smtp" without sign-in': ({"host"}, _LINE - {"auth"}),
    'auth = "password"': ({"host", "username", "password"}, _LINE),
    'auth = "oauth"': ({"host", "username"} | _SIGN_IN, _LINE | {"scope", "authority"}),
    'transport = "graph"': (_SIGN_IN, {"authority", "graph_url"}),
}


def _one_address(value: str) -> None:
    if not _ADDRESS.fullmatch(value) or len(value) > 254:  # noqa: PLR2004  (RFC 5321's limit)
        msg = "not one plain e-mail address like leads@contoso.example (no display name; ASCII only)"
        raise ValidationError(msg)


def _tenant(value: str) -> None:
    if value.lower() in {"common", "organizations", "consumers"} or "/" in value or _CONTROL.search(value):
        msg = "the id or the domain of one tenant is needed"
        raise ValidationError(msg)


_secure_url = validate.Regexp(re.compile(rf"\A(?:{_HTTPS.pattern})\Z"), error="an https:// address is needed")
_host = validate.Regexp(re.compile(rf"\A(?:{_HOST.pattern})\Z"), error="a host name or IP address is needed, no port")


class EmailSchema(NetworkSchema):
    """`type = "email"`: by SMTP or by Microsoft Graph."""

    transport = fields.String(required=True, validate=validate.OneOf(["smtp", "graph"]))
    host = fields.String(validate=_host)
    port = fields.Integer(
        strict=True,
        validate=validate.Range(min=1, max=65535),
        metadata={"allowed": "a whole number from 1 to 65535"},
    )
    security = fields.String(validate=validate.OneOf(list(PORTS)))
    auth = fields.String(validate=validate.OneOf(["password", "oauth"]))
    username = ReferenceField(validate=no_control)
    password = SecretField()
    tenant_id = ReferenceField(validate=[validate.Length(min=1), _tenant])
    client_id = ReferenceField(validate=no_control)
    client_secret = SecretField()
    scope = fields.String(validate=no_control)
    authority = fields.String(validate=_secure_url)
    graph_url = fields.String(validate=_secure_url)
    from_address = fields.String(required=True, data_key="from", validate=_one_address)
    to = fields.List(
        fields.String(validate=_one_address),
        required=True,
        validate=validate.Length(min=1, max=100),
        metadata={"allowed": 'a list of 1 to 100 addresses, such as ["sales@contoso.example"]'},
    )
    personal_data = fields.String(load_default="link", validate=validate.OneOf(["link", "include"]))

    @validates_schema
    def _fits_together(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401  (marshmallow's interface)
        """Refuse a setting that is missing for what was chosen, and one that would have no effect."""
        kind = _kind(data)
        needed, optional = _KINDS[kind]
        given = {key for key in data if key not in _ALWAYS}
        wrong = {key: [f"needed with {kind}"] for key in sorted(needed - given)}
        wrong |= {key: [_useless(kind)] for key in sorted(given - needed - optional)}
        if wrong:
            raise ValidationError(wrong)

    @validates_schema
    def _stays_private(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        if data.get("security") != "none":
            return
        if not is_loopback(data.get("host", "")):
            msg = '"none" is allowed only for a host on this machine (loopback); use "starttls" or "tls"'
            raise ValidationError(msg, "security")
        if data.get("personal_data") == "include":
            msg = '"include" needs an encrypted transport; with security = "none" only "link" is allowed'
            raise ValidationError(msg, "personal_data")

    @post_load
    def _with_defaults(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401
        security = data.get("security", "starttls")
        defaults = {
            "auth": "password" if "username" in data else None,
            "security": security,
            "port": PORTS[security],
            "authority": "https://login.microsoftonline.com",
            "scope": "https://outlook.office365.com/.default",
            "graph_url": "https://graph.microsoft.com",
        }
        return defaults | data | {"to": list(dict.fromkeys(data["to"]))}


def _kind(data: dict[str, Any]) -> str:
    """Say which row of `_KINDS` the settings belong to."""
    if data["transport"] == "graph":
        return 'transport = "graph"'
    auth = data.get("auth") or ("password" if {"username", "password"} & data.keys() else None)
    return f'auth = "{auth}"' if auth else 'transport = "smtp" without sign-in'


def _useless(kind: str) -> str:
    needed, optional = _KINDS[kind]
    return f"has no effect with {kind}, which takes {', '.join(sorted(needed | optional))}"
