"""A Salesforce stand-in with destinations on it, configured as an operator would, and parcels for them."""

import uuid
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from app.destinations.base import Parcel, Tools
from app.destinations.salesforce import Salesforce
from app.lead import Lead
from tests.standins.salesforce import CLIENT, PASSWORD, SECRET, TOKEN, USERNAME, Org, key_pair

START = datetime(2026, 11, 20, 23, 51, tzinfo=UTC)
EXTERNAL = "Marketplace_Lead_Id__c"
MARKER = "Leadwire_Mark__c"
# The three ways of recognising a lead: settings, and the field that an administrator made for it.
WAYS = {
    "external id": ({"external_id_field": EXTERNAL}, (EXTERNAL, {"externalId": True, "unique": True})),
    "marker field": ({"marker_field": MARKER}, (MARKER, {})),
    "mark in the description": ({}, None),
}
AUTHS = {
    "client_credentials": {"client_id": CLIENT, "client_secret": "env:SF_SECRET"},
    "jwt": {"client_id": CLIENT, "username": USERNAME, "private_key": "env:SF_KEY"},
    "password": {"username": USERNAME, "password": "env:SF_PASSWORD", "security_token": "env:SF_TOKEN"},
}
SAMPLE = {
    "first_name": "Some", "last_name": "One", "email": "someone@contoso.com", "phone": "16175555555", "country": "US",
    "company": "Contoso", "title": "Esquire", "lead_source": "AzureMarketplace", "action_code": "INS",
    "offer_title": "Test Microsoft", "description": "Please call.",
}  # fmt: skip


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self):
        self.at = START

    def __call__(self):
        return self.at

    def pass_(self, **span):
        self.at += timedelta(**span)


class Office:
    """An org, a clock, and destinations that are closed at the end."""

    def __init__(self, monkeypatch):
        secrets = {"SF_SECRET": SECRET, "SF_KEY": key_pair()[0], "SF_PASSWORD": PASSWORD, "SF_TOKEN": TOKEN}
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        self.clock = Clock()
        self.org = Org(now=self.clock)

    def __enter__(self):
        self._open = ExitStack()
        self._open.enter_context(self.org)
        return self

    def __exit__(self, *_):
        self._open.close()

    @property
    def records(self):
        return self.org.leads.records

    def settings(self, *, auth="client_credentials", **changes):
        given = {"type": "salesforce", "auth": auth, "login_url": self.org.url, "ca_bundle": self.org.ca_bundle}
        given |= AUTHS[auth] | changes
        return {name: value for name, value in given.items() if value is not None}

    def make(self, **changes):
        loaded = Salesforce.schema().load(self.settings(**changes))
        made = Salesforce("sales", loaded, Tools(now=self.clock, public_url="https://leads.contoso.example"))
        self._open.callback(made.close)
        return made

    def by(self, way, **changes):
        """Make a destination that recognises leads in one of `WAYS`, in an org that is prepared for it."""
        settings, field = WAYS[way]
        if field:
            self.org.leads.add(field[0], "string", 36, **field[1])
        return self.make(**settings, **changes)


def parcel(number=1, *, redelivery=False, test=False, **lead):
    return Parcel(
        delivery_id=str(uuid.UUID(int=number, version=5)), lead_id=str(uuid.UUID(int=number, version=4)),
        received_at=START, source="marketplace", test=test, redelivery=redelivery, lead=Lead(**SAMPLE | lead),
    )  # fmt: skip


def parcels(count, *, first=1, redelivery=False, **lead):
    """Parcels of different people."""
    return [
        parcel(number, redelivery=redelivery, **{"email": f"someone.{number}@contoso.com"} | lead)
        for number in range(first, first + count)
    ]
