"""The settings of a `salesforce` destination: one of three ways to sign in, where fields go, how the org reacts."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.destinations.base import NetworkSchema, no_control
from app.destinations.salesforce.record import REFERENCES
from app.settings import ReferenceField, SecretField
from app.settings.kinds import Number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Secret

LOGIN = "https://login.salesforce.com"
_SHARED_LOGINS = {"login.salesforce.com", "test.salesforce.com"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_RULE = re.compile(r"01Q[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0]")
_OLDEST, _NEWEST_SOAP = 59, 64  # from 65 on there is no SOAP login

# auth → (settings that must be there, settings that may be)
_KINDS: dict[str, tuple[set[str], set[str]]] = {
    "client_credentials": ({"login_url", "client_id", "client_secret"}, set()),
    "jwt": ({"client_id", "username", "private_key"}, {"login_url", "audience"}),
    "password": ({"username", "password"}, {"login_url", "security_token"}),
}
_SIGN_IN = {"login_url", "audience", "client_id", "client_secret", "username", "private_key", "password"}


def check_origin(url: str) -> None:
    """Refuse what isn't a bare https address of a host.

    Raises:
        ValidationError: says which shape is wanted.

    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # looked at now, so that a wrong one is found here
        fits = parts.scheme == "https" and parts.hostname and not (parts.query or parts.fragment or parts.username)
        fits = fits and parts.path in ("", "/") and not _CONTROL.search(url) and parts.netloc.isascii()
    except ValueError:
        fits = False
    if not fits:
        msg = "allowed: an address like https://contoso.my.salesforce.com, without anything behind it"
        raise ValidationError(msg)


def _field_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        msg = "allowed: the API name of a field, such as Marketplace_Lead_Id__c"
        raise ValidationError(msg)


def _version(value: str) -> None:
    if not re.fullmatch(r"[1-9][0-9]\.0", value) or int(value[:2]) < _OLDEST:
        msg = f'allowed: "{_OLDEST}.0" or a later version of the API'
        raise ValidationError(msg)


class _Rule(fields.Field[bool | str]):
    """`true`, `false` or the id of one assignment rule."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool | str:  # noqa: ANN401
        del attr, data, kwargs
        if isinstance(value, bool) or (isinstance(value, str) and _RULE.fullmatch(value)):
            return value
        msg = 'allowed: true (the active rule), false, or the id of a rule ("01Q…")'
        raise ValidationError(msg)


class _Mapping(fields.Field[dict[str, Any]]):
    """What goes into which field of the lead: constants, and names of ours behind a `$`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        del attr, data, kwargs
        if not isinstance(value, dict):
            msg = 'allowed: a table such as { MobilePhone = "$phone", Rating = "Hot", Title = "" }'
            raise ValidationError(msg)
        faults: dict[str, list[str]] = {}
        for name, given in value.items():
            fault = _fault(name, given)
            if fault:
                faults[name] = [fault]
        if faults:
            raise ValidationError(faults)
        if len({name.casefold() for name in value}) < len(value):
            msg = "allowed: each field once; Salesforce doesn't tell small letters from capitals"
            raise ValidationError(msg)
        return dict(value)


def _fault(name: str, given: object) -> str | None:
    if not _NAME.fullmatch(name):
        return "allowed: the API name of a field, such as Rating or Region__c"
    if not isinstance(given, (str, bool, int, float)):
        return 'allowed: a text, a number, true or false, or "$" and the name of a field of ours'
    if isinstance(given, float) and not isfinite(given):
        return "JSON has no such number"
    if given == "" and name.casefold() == "lastname":
        return "Salesforce takes no lead without it"
    if given != "" and name.casefold() == "description":
        return "allowed: only to leave it out; the text is written by us and keeps what fits nowhere else"
    return _unknown(given)


def _unknown(given: object) -> str | None:
    """Say which names are known, if this isn't one; `$$` begins a constant."""
    if not isinstance(given, str) or not given.startswith("$") or given.startswith("$$"):
        return None
    known = given[1:] in REFERENCES or re.fullmatch(r"(campaign|extra)\..+", given[1:])
    return None if known else f"after the $ is allowed: {', '.join(REFERENCES)}, campaign.NAME, extra.NAME"


class SalesforceSchema(NetworkSchema):
    """`[destinations.NAME]` of type `salesforce`."""

    auth = fields.String(required=True, validate=validate.OneOf(list(_KINDS)))
    login_url = ReferenceField(validate=check_origin)
    audience = fields.String(validate=check_origin)
    client_id = ReferenceField(validate=no_control)
    client_secret = SecretField()
    username = ReferenceField(validate=no_control)
    private_key = SecretField()
    password = SecretField()
    security_token = SecretField()
    api_version = fields.String(load_default="62.0", validate=_version)
    external_id_field = fields.String(load_default=None, validate=_field_name)
    marker_field = fields.String(load_default="Description", validate=_field_name)
    fields_ = _Mapping(data_key="fields", load_default=dict)
    lead_source = fields.String(load_default=None, validate=validate.Length(min=1, max=255))
    country = fields.String(load_default="auto", validate=validate.OneOf(["auto", "code", "text"]))
    duplicate_rule = fields.String(load_default="allow", validate=validate.OneOf(["allow", "block"]))
    assignment_rule = _Rule(load_default=True)
    reserve_percent = Number(10, 0, 90)

    @validates_schema
    def _signs_in(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401  (marshmallow's interface)
        """Refuse a setting that is missing for what was chosen, and one that would have no effect."""
        needed, optional = _KINDS[data["auth"]]
        given = {key for key in (*_SIGN_IN, "security_token") if key in data}
        kind = f'auth = "{data["auth"]}"'
        takes = ", ".join(sorted(needed | optional))
        wrong = {key: [f"needed with {kind}"] for key in sorted(needed - given)}
        wrong |= {key: [f"has no effect with {kind}, which takes {takes}"] for key in sorted(given - needed - optional)}
        if wrong:
            raise ValidationError(wrong)

    @validates_schema
    def _fits_the_way_in(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        host = urlsplit(data.get("login_url", LOGIN)).hostname
        if data["auth"] == "client_credentials" and host in _SHARED_LOGINS:
            msg = "client credentials are answered only by the org's own My Domain, https://….my.salesforce.com"
            raise ValidationError(msg, "login_url")
        if data["auth"] == "password" and int(data["api_version"][:2]) > _NEWEST_SOAP:
            msg = f'auth = "password" ends with version {_NEWEST_SOAP}.0; use "client_credentials" or "jwt"'
            raise ValidationError(msg, "api_version")
        if "private_key" in data:
            _check_key(data["private_key"])

    @validates_schema
    def _keeps_a_marker(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        """Refuse what would leave nothing to recognise a lead by, or write one field twice."""
        mapped = {name.casefold(): value for name, value in data["fields_"].items()}
        marker, external = data["marker_field"].casefold(), (data["external_id_field"] or "").casefold()
        if external:
            if external in mapped:
                msg = "external_id_field is filled by us"
                raise ValidationError({"fields": {data["external_id_field"]: [msg]}})
            return
        if marker in mapped:
            msg = "marker_field is filled by us: give another one, or an external_id_field"
            raise ValidationError({"fields": {data["marker_field"]: [msg]}})

    @post_load
    def _complete(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401
        login = data.get("login_url", LOGIN).rstrip("/")
        return data | {"login_url": login, "audience": data.get("audience", "").rstrip("/") or _audience(login)}


def _check_key(key: Secret) -> None:
    text = key.reveal()
    if "-----BEGIN" not in text or "PRIVATE KEY-----" not in text:
        msg = "not a private key in PEM form (-----BEGIN PRIVATE KEY-----)"
        raise ValidationError(msg, "private_key")
    if "ENCRYPTED" in text:
        msg = "the key has a passphrase: give one without, in a file that only Leadwire may read"
        raise ValidationError(msg, "private_key")


def _audience(login_url: str) -> str:
    """Say whom an assertion is for: Salesforce's two login hosts stand for every My Domain behind them."""
    host = urlsplit(login_url).hostname or ""
    if not host.endswith(".salesforce.com"):
        return login_url
    sandbox = host == "test.salesforce.com" or ".sandbox." in host
    return "https://test.salesforce.com" if sandbox else LOGIN


def sign_in_of(settings: Mapping[str, Any]) -> str:
    """Say in words how a destination signs in, for `check`."""
    shown = settings.get("username") or settings.get("client_id")
    return f"{settings['auth']} as {shown}" if settings["auth"] != "client_credentials" else settings["auth"]
