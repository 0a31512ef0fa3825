"""The settings of a `dynamics` destination: the environment, who signs in, and what goes into which column."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.destinations.base import NetworkSchema, no_control
from app.destinations.dynamics.columns import DEFAULTS, Rule, is_binding, read_rule
from app.destinations.entra_certificate import check_certificate
from app.settings import ReferenceField, SecretField
from app.settings.kinds import Flag, Number

MAX_OPERATIONS = 1000  # a batch may hold
AUTHORITY = "https://login.microsoftonline.com"
ANY_TENANT = "organizations"  # where a user signs in whose tenant isn't given

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}(@odata\.bind)?")
_NOT_OURS = {"leadid"}  # the key that makes writing twice harmless
_NEEDED = {"lastname", "subject"}  # Dataverse's own forms refuse a lead without

_SIGN_IN = {"client_secret", "certificate", "username", "password"}
_WAYS = {
    "app": "client_id, tenant_id, and client_secret or certificate",
    "user": "client_id, username, password, and tenant_id if it is known",
}


def _address(value: str) -> str:
    """Give scheme and host of an https address that has nothing behind them."""
    try:
        parts = urlsplit(value.strip())
        host, extras = parts.hostname or "", parts.query or parts.fragment or parts.username or parts.password
        _ = parts.port
    except ValueError:
        host, extras, parts = "", None, urlsplit("")
    if parts.scheme.lower() != "https" or not re.fullmatch(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:]+", host) or extras:
        msg = "allowed: an address like https://contoso.crm4.dynamics.com"
        raise ValidationError(msg)
    if parts.path.strip("/"):
        msg = f"allowed: the address of the environment without a path: https://{parts.netloc}"
        raise ValidationError(msg)
    return f"https://{parts.netloc}"


class _Address(ReferenceField):
    """The root of a web address; loads without a slash at its end."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401
        return _address(super()._deserialize(value, attr, data, **kwargs))


def _tenant(value: str) -> None:
    no_control(value)
    if value.lower() in {"common", "consumers"} or "/" in value:
        msg = "allowed: the id (a GUID) or a domain of one tenant"
        raise ValidationError(msg)


class _Columns(fields.Field[dict[str, Rule]]):
    """A table of columns; loads to the default mapping with the changes in it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Rule]:  # noqa: ANN401
        del attr, data, kwargs
        if not isinstance(value, dict):
            msg = "allowed: a table of columns, such as { leadsourcecode = 8 }"
            raise ValidationError(msg)
        wrong, rules = {}, dict(DEFAULTS)
        for column, told in value.items():
            try:
                rule = _rule(column, told)
            except ValidationError as exc:
                wrong[column] = exc.messages
            else:
                rules.pop(column, None)
                rules |= {column: rule} if rule else {}
        if wrong:
            raise ValidationError(wrong)
        return rules


def _rule(column: str, told: object) -> Rule | None:
    """Read one line of `fields`; None takes the column out."""
    if not _COLUMN.fullmatch(column):
        msg = "not the name of a column: its logical name is needed, such as leadsourcecode"
        raise ValidationError(msg)
    if column.lower() in _NOT_OURS:
        msg = "allowed: any column but this one, which Leadwire sets itself so that no lead is written twice"
        raise ValidationError(msg)
    if column in _NEEDED and told == "":
        msg = "allowed: anything but leaving it out, because the CRM wants it in every lead"
        raise ValidationError(msg)
    if not isinstance(told, str | int | float) or (isinstance(told, float) and not math.isfinite(told)):
        msg = "allowed: a text, a number, true or false"
        raise ValidationError(msg)
    if is_binding(column) and not re.fullmatch(r"/?[A-Za-z_]\w*\([^()\s]+\)", str(told)):
        msg = 'allowed: the record that is meant, such as "/campaigns(00000000-0000-0000-0000-000000000001)"'
        raise ValidationError(msg)
    return read_rule(column, told)


class DynamicsSchema(NetworkSchema):
    """`type = "dynamics"`: the leads table of one Dataverse environment."""

    url = _Address(required=True)
    auth = fields.String(
        load_default="app", validate=validate.OneOf(list(_WAYS)), metadata={"allowed": '"app" or "user"'}
    )
    tenant_id = ReferenceField(validate=_tenant)
    client_id = ReferenceField(required=True, validate=no_control)
    client_secret = SecretField()
    certificate = SecretField()
    username = ReferenceField(validate=no_control)
    password = SecretField()
    authority = _Address(load_default=AUTHORITY)
    batch_size = Number(100, 1, MAX_OPERATIONS)
    columns = _Columns(data_key="fields", load_default=lambda: dict(DEFAULTS))
    detect_duplicates = Flag(load_default=False)

    @validates_schema
    def _fits_together(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401  (marshmallow's interface)
        """Refuse a setting that is missing for the way of signing in, and one that would have no effect."""
        auth = data["auth"]
        takes = f'auth = "{auth}" takes {_WAYS[auth]}'
        mine = {"client_secret", "certificate"} if auth == "app" else {"username", "password"}
        wrong = {key: [f"has no effect: {takes}"] for key in sorted(data.keys() & _SIGN_IN - mine)}
        needed = {"tenant_id"} if auth == "app" else mine
        wrong |= {key: [f"needed: {takes}"] for key in sorted(needed - data.keys())}
        given = data.keys() & mine
        if auth == "app" and not given:
            wrong["client_secret"] = [f"needed, or certificate in its place: {takes}"]
        elif auth == "app" and len(given) > 1:
            wrong["certificate"] = [f"one of the two is too much: {takes}"]
        if wrong:
            raise ValidationError(wrong)

    @validates_schema
    def _readable_certificate(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401
        if "certificate" in data:
            try:
                check_certificate(data["certificate"])
            except ValueError as exc:
                raise ValidationError(str(exc), "certificate") from None

    @post_load
    def _with_defaults(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401
        absent = dict.fromkeys((*_SIGN_IN,))
        return absent | {"tenant_id": ANY_TENANT} | data
