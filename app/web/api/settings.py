"""Settings: what is configured and where it comes from, the sources' addresses, and clearing out."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Reason, Strict, each, text, texts, time

part = Part("settings", "What is configured, and the addresses that sources post to.")


class Setting(Strict):
    """One setting; a secret's value is "set"."""

    section = text()
    key = text()
    value = text()
    origin = text(description='Where it comes from: "default", a file, or the reference of a secret.')


class SettingsShown(Strict):
    """Every setting."""

    settings = each(Setting)


class SourceKey(Strict):
    """A live key of a source."""

    reference = text()
    fingerprint = text()
    last_used_at = time(null=True)


class Address(Strict):
    """Where a source posts to; the key is left out."""

    source = text()
    destinations = texts()
    url = text()
    keys = each(SourceKey)


class Addresses(Strict):
    """Every source's address."""

    addresses = each(Address)


class WholeAddress(Strict):
    """The address to paste into Partner Center, key included."""

    url = text()


class Purged(Strict):
    """How much was deleted of each."""

    purged = fields.Dict(fields.String(), fields.Integer(), required=True)


@part.endpoint("GET", "/settings", gives=SettingsShown, reader=True)
def settings_shown() -> Any:  # noqa: ANN401
    """What is configured, and where each value comes from."""
    return {"settings": operations().settings_shown()}


@part.endpoint("GET", "/addresses", gives=Addresses, reader=True)
def addresses() -> Any:  # noqa: ANN401
    """Where each source posts to, and when its keys were last used."""
    return {"addresses": operations().addresses()}


@part.endpoint("POST", "/addresses/<source>/keys/<fingerprint>/reveal", body=Reason, gives=WholeAddress, refusal=404)
def source_url(*, source: str, fingerprint: str, why: str = "") -> Any:  # noqa: ANN401
    """The whole address of a source with one of its keys; that is recorded in the audit."""
    return {"url": operations().source_url(source, fingerprint, who=who(why))}


@part.endpoint("POST", "/purge", body=Reason, gives=Purged)
def purge(*, why: str = "") -> Any:  # noqa: ANN401
    """Delete what is older than the settings of retention say; what still waits for a destination stays."""
    return {"purged": operations().purge(who=who(why))}
