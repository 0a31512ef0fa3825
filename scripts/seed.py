"""Fills an empty store with what a busy publisher's would hold, to look at and to measure; every person is artificial.

    python scripts/seed.py sqlite:///var/seeded.db --leads 8000 --days 60

Four destinations (`CONFIG` fits), three open problems: a parked CRM, leads that Salesforce refused, a mail server that
asks for patience. Seen with `leadwire serve --no-worker`: a worker would set about delivering what waits.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import TYPE_CHECKING

from app.store import Store, open_store
from app.store.desk import arrivals
from scripts.seed_desk import beat, fill_desk
from scripts.seed_leads import Plan, fill_leads
from tests.parts.server import KEY, Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["CONFIG", "ENVIRONMENT", "beat", "fill", "fill_store", "seeded"]

SECRETS = ("DYNAMICS_SECRET", "SF_ID", "SF_SECRET", "AZURE_TABLES", "SMTP_PASSWORD", "APPSOURCE_KEY", "OLD_KEY")
ENVIRONMENT = {name: f"made-up-{name.lower()}" for name in SECRETS} | {
    "AZURE_TABLES": (
        "DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey=Y29udG9zbw==;TableEndpoint="
        "https://contoso.table.core.windows.example"
    )
}
CONFIG = """
[sources.appsource]
keys = ["env:APPSOURCE_KEY", "env:OLD_KEY"]
destinations = ["crm", "sales", "table", "team-mail"]

[[routes]]
when = { offer = "fabrikam.*", action = ["INS", "PLT"] }
to = ["crm", "table"]

[destinations.crm]
type = "dynamics"
url = "https://contoso.crm4.dynamics.example"
auth = "app"
tenant_id = "11111111-2222-4333-8444-555555555555"
client_id = "66666666-7777-4888-9999-000000000000"
client_secret = "env:DYNAMICS_SECRET"

[destinations.sales]
type = "salesforce"
auth = "client_credentials"
login_url = "https://contoso.my.salesforce.example"
client_id = "env:SF_ID"
client_secret = "env:SF_SECRET"

[destinations.table]
type = "azure_table"
connection_string = "env:AZURE_TABLES"
table = "MarketplaceLeads"

[destinations.team-mail]
type = "email"
transport = "smtp"
host = "smtp.contoso.example"
username = "leads@contoso.example"
password = "env:SMTP_PASSWORD"
from = "leads@contoso.example"
to = ["sales@contoso.example"]
"""


def fill(store: Store, *, leads: int, days: int, now: int | None = None, keys: Sequence[tuple[str, str]] = ()) -> None:
    """Fill a migrated, empty store; `now` in ms (None: the clock's), `keys` are (source, key) that were used."""
    moment = round(time.time() * 1000) if now is None else now
    with store.read() as connection:
        if connection.execute(arrivals.select().limit(1)).first() is not None:
            sys.exit(f"{store.name}: something has come in here already; seed an empty store")
    fill_leads(store, Plan(leads=leads, days=days, now=moment, dice=random.Random(4)))  # noqa: S311  (made-up leads)
    fill_desk(store, now=moment, keys=keys)


def fill_store(url: str, *, leads: int, days: int, keys: Sequence[tuple[str, str]] = ()) -> None:
    """Open, migrate and fill a store."""
    store = open_store(url)
    store.migrate()
    fill(store, leads=leads, days=days, keys=keys)
    store.close()


def seeded(folder: Path, *, leads: int, days: int) -> Server:
    """Give a server, not yet started, whose store holds so many leads; no worker sets about what waits there."""
    server = Server(folder, more=CONFIG)
    server.environment |= ENVIRONMENT | {"LEADWIRE_CONFIG": "leadwire.toml"}  # as people see it: a short path
    (folder / "var").mkdir()
    keys = (("marketplace", KEY), ("appsource", ENVIRONMENT["APPSOURCE_KEY"]))
    fill_store(f"sqlite:///{folder}/var/leadwire.db", leads=leads, days=days, keys=keys)
    return server


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Fill an empty store with artificial leads and troubles.")
    parser.add_argument("url", help="the store, such as sqlite:///var/seeded.db")
    parser.add_argument("--leads", type=int, default=8000)
    parser.add_argument("--days", type=int, default=60, help="over how many days they came")
    given = parser.parse_args()
    begun = time.monotonic()
    fill_store(given.url, leads=given.leads, days=given.days)
    print(f"{given.url}: {given.leads} leads over {given.days} days, in {time.monotonic() - begun:.1f} s")


if __name__ == "__main__":
    main()
