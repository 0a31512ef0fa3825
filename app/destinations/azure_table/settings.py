"""The settings of an `azure_table` destination: one way to reach the account, and a table."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate, validates_schema

from app.destinations.base import NetworkSchema, is_loopback
from app.settings import SecretField

if TYPE_CHECKING:
    from collections.abc import Collection


def _check_address(what: str, url: str, *, schemes: Collection[str] = ("https", "http")) -> None:
    """Refuse an address that can't be a table service, or that would carry leads in the clear over a network."""
    try:
        parts = urlsplit(url)
        host, extras = parts.hostname or "", parts.query or parts.fragment or parts.username
    except ValueError:
        host, extras = "", None
    if not host or extras or parts.scheme not in schemes:
        msg = f"{what} is not an address like https://contosoleads.table.core.windows.net, without anything behind it"
        raise ValidationError(msg)
    if parts.path.strip("/") and not is_loopback(host):
        msg = f"{what} goes on behind the host name: the account's own address is wanted, without a table"
        raise ValidationError(msg)
    if parts.scheme == "http" and not is_loopback(host):
        msg = f"{what} is http: leads travel unencrypted to a loopback address only"
        raise ValidationError(msg)


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for segment in filter(None, (one.strip() for one in text.split(";"))):
        name, _, value = segment.partition("=")
        if not name or not value or name.lower() in found:
            msg = "the connection string is not a list of different Name=value pairs with ; between them"
            raise ValidationError(msg)
        found[name.lower()] = value
    return found


def check_connection_string(text: str) -> None:
    """Check the shape of a storage account's connection string.

    Raises:
        ValidationError: says what is missing or wrong, and never repeats any of it.

    """
    pairs = _pairs(text)
    if pairs == {"usedevelopmentstorage": "true"}:
        return
    missing = [name for name in ("AccountName", "AccountKey") if name.lower() not in pairs]
    if missing:
        msg = f"the connection string has no {' and no '.join(missing)}"
        raise ValidationError(msg)
    try:
        base64.b64decode(pairs["accountkey"], validate=True)
    except (binascii.Error, ValueError):
        msg = "the AccountKey in the connection string is not base64 text: perhaps it was cut off when it was copied"
        raise ValidationError(msg) from None
    if "tableendpoint" in pairs:
        _check_address("the TableEndpoint in the connection string", pairs["tableendpoint"])
    elif not re.fullmatch(r"[a-z0-9]{3,24}", pairs["accountname"]):
        msg = "the AccountName in the connection string is not 3 to 24 small letters and digits"
        raise ValidationError(msg)
    elif pairs.get("defaultendpointsprotocol", "https") != "https":
        msg = "the DefaultEndpointsProtocol in the connection string is not https"
        raise ValidationError(msg)


def _check_table(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,62}", name) or name.lower() == "tables":
        msg = 'a table name is 3 to 63 ASCII letters and digits, a letter first, and not "tables"'
        raise ValidationError(msg)


class AzureTableSchema(NetworkSchema):
    """Settings of an `azure_table` destination."""

    connection_string = SecretField(load_default=None)
    account_url = fields.String(load_default=None)
    credential = fields.String(load_default=None, validate=validate.OneOf(["default"]), metadata={"hidden": True})
    table = fields.String(load_default="MarketplaceLeads", validate=_check_table)

    @validates_schema
    def check_sign_in(self, data: dict[str, Any], **kwargs: object) -> None:
        """Want exactly one way to reach the account."""
        del kwargs
        secret, url, credential = data["connection_string"], data["account_url"], data["credential"]
        if (secret is None) == (url is None):
            msg = 'give either connection_string, or account_url with credential = "default"'
            raise ValidationError(msg, "connection_string")
        if (url is None) != (credential is None):
            msg = 'account_url and credential = "default" belong together'
            raise ValidationError(msg, "credential" if credential is None else "account_url")
        where = "connection_string" if url is None else "account_url"
        try:
            if url is None:
                check_connection_string(secret.reveal())
            else:
                _check_address("account_url", url, schemes=["https"])
        except ValidationError as exc:
            raise ValidationError(exc.messages, where) from None
