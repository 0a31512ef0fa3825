"""What is allowed in the file: every section, its defaults and its checks."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, pre_load, validate, validates_schema

from app.settings import model
from app.settings.defaults import DEFAULT_STORE, with_defaults
from app.settings.kinds import (
    Duration,
    Flag,
    Number,
    TextOrList,
    WebhookField,
    check_addresses,
    check_authority,
    check_bind,
    check_domain,
    check_growing,
    check_key,
    check_networks,
    check_password,
    check_store,
    check_url,
    choice,
)
from app.settings.secret import MasterKeyField, SecretField


class _Section(Schema):
    makes: ClassVar[type] = dict  # of `model`, where there is one

    class Meta:
        unknown = RAISE

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> Any:  # noqa: ANN401  (what the section makes)
        return self.makes(**data)


class _Server(_Section):
    bind = fields.String(
        load_default="127.0.0.1:8080",
        validate=check_bind,
        metadata={"allowed": 'an address and a port, such as "127.0.0.1:8080"'},
    )
    workers = Number(2, 1, 64)
    max_body_bytes = Number(65536, 1024, 16 * 1024 * 1024)
    trusted_proxies = Number(0, 0, 10)
    public_url = fields.String(
        load_default="",
        validate=check_url,
        metadata={"allowed": 'how the outside reaches this server, such as "https://leads.contoso.example"'},
    )

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> model.Server:
        data["public_url"] = (data["public_url"] or f"http://{data['bind']}").rstrip("/")
        return model.Server(**data)


class _Limits(_Section):
    makes = model.Limits
    wrong_keys_a_minute = Number(60, 0, 1_000_000)
    leads_a_minute = Number(0, 0, 1_000_000)
    requests_a_minute = Number(3000, 0, 1_000_000)


class _Store(_Section):
    makes = model.Store
    url = fields.String(
        load_default=DEFAULT_STORE,
        validate=check_store,
        metadata={"allowed": '"sqlite:///PATH" or "postgresql://USER@HOST/DATABASE"'},
    )
    password = SecretField(load_default=None)


class _Encryption(_Section):
    makes = model.Encryption
    key = MasterKeyField(load_default=None)
    previous = MasterKeyField(load_default=None)

    @validates_schema
    def _replaces(self, data: dict[str, Any], **_: object) -> None:
        if data["previous"] and not data["key"]:
            msg = "needs `key` beside it: the master key that replaces it"
            raise ValidationError(msg, "previous")


class _Privacy(_Section):
    withhold_domains = fields.List(
        fields.String(
            validate=check_domain, metadata={"allowed": 'a domain, such as "edu", which stands for all below it too'}
        ),
        load_default=["edu"],
        metadata={"allowed": 'a list of domains, such as ["edu"]'},
    )
    edu_action = choice("withhold", "deliver")

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> model.Privacy:
        return model.Privacy(withhold_domains=tuple(data["withhold_domains"]), edu_action=data["edu_action"])


class _Duplicates(_Section):
    makes = model.Duplicates
    window_hours = Number(24, 0, 24 * 365, whole=False)


class _TestLeads(_Section):
    makes = model.TestLeads
    deliver = Flag(load_default=True)
    keep_days = Number(7, 1, 3650)
    destinations = TextOrList(load_default=None)


class _Delivery(_Section):
    schedule = fields.List(
        Duration(),
        load_default=[timedelta(seconds=s) for s in (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)],
        validate=validate.Length(min=1, max=100),
        metadata={"allowed": 'a list of waits, such as ["0s", "5s", "5m"]'},
    )
    lease_seconds = Number(180, 5, 3600)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> model.Delivery:
        return model.Delivery(schedule=tuple(data["schedule"]), lease_seconds=data["lease_seconds"])


class _Retention(_Section):
    makes = model.Retention
    leads_days = Number(180, 1, 36500)
    quarantine_days = Number(30, 1, 36500)
    attempts_days = Number(180, 1, 36500)


class _Console(_Section):
    enabled = Flag(load_default=True)
    password = SecretField(load_default=None, validate=check_password)
    sign_in = choice("password", "entra")
    tenant_id = fields.String(load_default=None)
    client_id = fields.String(load_default=None)
    client_secret = SecretField(load_default=None)
    authority = fields.String(
        load_default="https://login.microsoftonline.com",
        validate=check_authority,
        metadata={
            "allowed": 'the https address of Microsoft Entra without a path, such as "https://login.microsoftonline.com"'
        },
    )
    ca_bundle = fields.String(load_default=None, validate=validate.Length(min=1))

    @validates_schema
    def _can_ask_entra(self, data: dict[str, Any], **_: object) -> None:
        if data["enabled"] and data["sign_in"] == "entra":
            missing = [name for name in ("tenant_id", "client_id", "client_secret") if not data[name]]
            if missing:
                msg = 'needed by sign_in = "entra"'
                raise ValidationError({name: [msg] for name in missing})

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> model.Console:
        return model.Console(**{**data, "authority": data["authority"].rstrip("/")})


class _Alerts(_Section):
    via = fields.String(load_default=None)
    to = TextOrList(
        load_default=(),
        may_be_empty=True,
        validate=check_addresses,
        metadata={"allowed": 'a list of texts, each an e-mail address, such as ["ops@contoso.example"]'},
    )
    webhook = WebhookField(load_default=None)
    webhook_format = choice("slack", "teams", "json")
    after = Duration(load_default=timedelta(minutes=5))
    escalate = fields.List(
        Duration(),
        load_default=[timedelta(hours=hours) for hours in (1, 4, 24)],
        validate=[validate.Length(max=20), check_growing],
        metadata={"allowed": 'a list of ages, each longer than the one before, such as ["1h", "4h", "24h"]'},
    )
    quiet_days = Number(7, 0, 3650, whole=False)
    oldest_minutes = Number(60, 0, 525600, whole=False)
    worker_minutes = Number(5, 0, 525600, whole=False)

    @validates_schema
    def _has_a_way(self, data: dict[str, Any], **_: object) -> None:
        if data["to"] and not data["via"]:
            msg = "allowed: the name of an e-mail destination, which `to` needs beside it"
            raise ValidationError(msg, "via")

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> model.Alerts:
        return model.Alerts(**{**data, "escalate": tuple(data["escalate"])})


class _Source(_Section):
    keys = fields.List(
        SecretField(validate=check_key),
        required=True,
        validate=validate.Length(min=1),
        metadata={"allowed": 'a list of "env:NAME" or "file:/path"'},
    )
    destinations = TextOrList(required=True)
    networks = TextOrList(
        load_default=(),
        may_be_empty=True,
        validate=check_networks,
        metadata={"allowed": 'a list of networks or addresses, such as ["203.0.113.0/24", "2001:db8::/32"]'},
    )

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> model.Source:
        networks = tuple(map(ip_network, data["networks"]))
        return model.Source(keys=tuple(data["keys"]), destinations=data["destinations"], networks=networks)


class _When(_Section):
    offer = TextOrList(load_default=None)
    action = TextOrList(load_default=None)
    source = TextOrList(load_default=None)
    test = Flag(load_default=None)


class _Route(_Section):
    when = fields.Nested(_When, load_default=lambda: _When().load({}))
    to = TextOrList(required=True)

    @post_load
    def _make(self, data: dict[str, Any], **_: object) -> model.Route:
        return model.Route(**data["when"], to=data["to"])


def _section(schema: type[Schema]) -> fields.Nested:
    return fields.Nested(schema, load_default=lambda: schema().load({}))


def _short_name() -> fields.String:
    """A name that can stand in a file's name, a label and a URL."""
    allowed = "allowed: a name of at most 63 letters, digits, dots, dashes and underscores"
    return fields.String(validate=validate.Regexp(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z", error=allowed))


class SettingsSchema(_Section):
    """The whole file; every section may be left out."""

    server = _section(_Server)
    limits = _section(_Limits)
    store = _section(_Store)
    encryption = _section(_Encryption)
    privacy = _section(_Privacy)
    duplicates = _section(_Duplicates)
    test_leads = _section(_TestLeads)
    delivery = _section(_Delivery)
    retention = _section(_Retention)
    console = _section(_Console)
    alerts = _section(_Alerts)
    sources = fields.Dict(
        keys=_short_name(),
        values=fields.Nested(_Source),
        required=True,
        validate=validate.Length(min=1),  # without any, every lead is turned away
        metadata={"allowed": "a table of at least one, such as [sources.marketplace]"},
    )
    routes = fields.List(fields.Nested(_Route), load_default=[])
    destinations = fields.Dict(
        keys=_short_name(),
        values=fields.Dict(),
        required=True,
        validate=validate.Length(min=1),
        metadata={"allowed": "a table of at least one, such as [destinations.archive]"},
    )

    @pre_load
    def _fill(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        return with_defaults(data)
