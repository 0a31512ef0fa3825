"""What a script would do: one record a call, with the SDK of each system (for Dataverse, which has none, requests)."""

from __future__ import annotations

from datetime import UTC, datetime

import requests
from azure.data.tables import TableClient
from simple_salesforce import Salesforce

from app.destinations.azure_table.rows import entity_of
from app.destinations.base import Parcel
from bench.waiting import lead


def _token(settings, secrets, url, **form):
    form |= {"grant_type": "client_credentials", "client_id": settings["client_id"], "client_secret": secrets}
    return requests.post(url, data=form, verify=settings["ca_bundle"], timeout=30).json()["access_token"]


def dynamics(settings, secrets):
    """Post to the leads table."""
    base = settings["url"]
    url = f"{settings['authority']}/{settings['tenant_id']}/oauth2/v2.0/token"
    token = _token(settings, secrets["BENCH_DYNAMICS"], url, scope=f"{base}/.default")
    session = requests.Session()
    session.verify, session.trust_env = settings["ca_bundle"], False  # else the machine's own bundle wins
    version = {"OData-Version": "4.0", "OData-MaxVersion": "4.0"}
    session.headers.update({"Authorization": f"Bearer {token}", "Accept": "application/json", **version})

    def create(number):
        one = lead(number)
        record = {
            "subject": one.offer_title, "firstname": one.first_name, "lastname": one.last_name,
            "emailaddress1": one.email, "telephone1": one.phone, "companyname": one.company, "jobtitle": one.title,
            "address1_country": one.country, "description": one.description,
        }  # fmt: skip
        session.post(f"{base}/api/data/v9.2/leads", json=record, timeout=30).raise_for_status()

    return create


def salesforce(settings, secrets):
    """Create by simple-salesforce."""
    session = requests.Session()
    session.verify, session.trust_env = settings["ca_bundle"], False  # else the machine's own bundle wins
    token = _token(settings, secrets["BENCH_SALESFORCE"], f"{settings['login_url']}/services/oauth2/token")
    org = Salesforce(instance_url=settings["login_url"], session_id=token, session=session)

    def create(number):
        one = lead(number)
        org.Lead.create(
            {
                "FirstName": one.first_name, "LastName": one.last_name, "Company": one.company, "Email": one.email,
                "Phone": one.phone, "Title": one.title, "Country": one.country, "Description": one.description,
            }
        )  # fmt: skip

    return create


def azure_table(_, secrets):
    """Create by azure-data-tables."""
    client = TableClient.from_connection_string(secrets["BENCH_TABLES"], "Leads")
    client.create_table()
    now = datetime.now(tz=UTC)

    def create(number):
        one = Parcel(
            delivery_id=str(number), lead_id=str(number), received_at=now, source="s", test=False, lead=lead(number)
        )
        client.create_entity(entity_of(one))

    return create


LOOPS = {"dynamics": dynamics, "salesforce": salesforce, "azure_table": azure_table}
