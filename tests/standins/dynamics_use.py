"""A Dataverse environment with its sign-in service, destinations on it as an operator would configure them, parcels."""

import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from app.destinations.base import DeliveryFailed, Parcel, Tools
from app.destinations.dynamics import Dynamics
from app.lead import Lead
from tests.standins.dataverse import DataverseServer
from tests.standins.entra import CLIENT, TENANT, EntraServer

START = datetime(2026, 11, 20, 23, 51, tzinfo=UTC)
SECRETS = {"DYNAMICS_SECRET": "value-of-the-client-secret", "WRONG_SECRET": "not-it", "PASSWORD": "password-of-someone"}
SAMPLE = {
    "first_name": "Some", "last_name": "One", "email": "someone@contoso.com", "phone": "16175555555", "country": "US",
    "company": "Contoso", "title": "Esquire", "lead_source": "AzureMarketplace", "action_code": "INS",
    "offer_title": "Test Microsoft", "publisher_id": "contoso", "offer_id": "backup", "description": "Please call.",
}  # fmt: skip


class Clock:
    """Two clocks that stand until a test moves them: `now()` on the wall, `seconds()` monotonic."""

    def __init__(self):
        self.at, self.ticks = START, 1000.0

    def now(self):
        return self.at

    def seconds(self):
        return self.ticks

    def pass_(self, seconds):
        self.at += timedelta(seconds=seconds)
        self.ticks += seconds


class Office:
    """The two services and what was made on them; all is stopped and closed at the end."""

    def __init__(self, *, server_tls, ca_bundle, monkeypatch):
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)
        self._tls, self.ca_bundle = server_tls, ca_bundle
        self._open = ExitStack()
        self.clock = Clock()

    def __enter__(self):
        self.entra = EntraServer(self._tls)
        self._open.callback(self.entra.stop)
        self.crm = DataverseServer(self._tls, self.entra)
        self._open.callback(self.crm.stop)
        return self

    def __exit__(self, *exc):
        self._open.close()

    def settings(self, **changes):
        """The settings an operator would write; None takes one out."""
        given = {
            "type": "dynamics", "url": self.crm.url, "auth": "app", "tenant_id": TENANT,
            "client_id": CLIENT, "client_secret": "env:DYNAMICS_SECRET", "authority": self.entra.url,
            "ca_bundle": self.ca_bundle,
        } | changes  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}

    def destination(self, *, read_timeout=20.0, **changes):
        loaded = Dynamics.schema().load(self.settings(**changes))
        tools = Tools(now=self.clock.now, public_url="https://leads.contoso.example")
        made = Dynamics("crm", loaded, tools, clock=self.clock.seconds)
        made.read_timeout = read_timeout
        self._open.callback(made.close)
        return made

    def lead(self, sent):
        """The one record that `sent` speaks of."""
        return self.crm.leads[key(sent)]


def parcel(number=1, *, test=False, redelivery=False, **lead):
    known = {name: value for name, value in {**SAMPLE, **lead}.items() if value is not None}
    return Parcel(
        delivery_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"crm-{number}")),
        lead_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"lead-{number}")),
        received_at=START,
        source="marketplace",
        test=test,
        lead=Lead(**known),
        redelivery=redelivery,
    )


def parcels(count, *, first=1, **how):
    return [parcel(number, **how) for number in range(first, first + count)]


def key(sent):
    return sent.delivery_id


def failed(call):
    """What a call failed with as a whole."""
    try:
        call()
    except DeliveryFailed as failure:
        return failure
    message = "it should have failed"
    raise AssertionError(message)
