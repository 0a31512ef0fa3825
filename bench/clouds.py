"""The outside systems, each in a process of its own as a cloud would be: it may think a while before each answer.

    python -m bench.clouds dynamics 0.03      prints what to configure, then for each line it reads what it was asked

Beside what the stand-ins know already, these take single records too: what a loop over an SDK sends.
"""

from __future__ import annotations

import json
import ssl
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import trustme

from tests.standins.dataverse import API, DataverseServer
from tests.standins.entra import CLIENT, SECRET, TENANT, EntraServer
from tests.standins.salesforce import CLIENT as APP
from tests.standins.salesforce import SECRET as APP_SECRET
from tests.standins.salesforce import Org, Reply
from tests.standins.salesforce_lead import LeadTable


class Dataverse(DataverseServer):
    """A Dataverse environment that thinks `delay` seconds over each call."""

    def __init__(self, context, entra, *, delay):
        self._delay = delay
        super().__init__(context, entra)

    def _answer(self, method, path, headers, body):
        time.sleep(self._delay)
        if (method, path) != ("POST", f"{API}/leads"):
            return super()._answer(method, path, headers, body)
        self._admit(headers)
        key = str(uuid.uuid4())
        self.create(key, json.loads(body), headers)
        url = f"{self.url}{API}/leads({key})"
        return 204, {"OData-Version": "4.0", "OData-EntityId": url}, b""


class Many(LeadTable):
    """A Lead table that finds a record by its external id without reading all of them."""

    def _written(self, given, external, *, saves, assigned):
        known = self.records
        self.records = []  # nothing here is unique but the external id, and none comes twice
        try:
            told = super()._written(given, external, saves=saves, assigned=assigned)
            new, self.records = self.records, known
            for one in new:
                one["Id"] = told["id"] = f"00QHs{len(known):010}IAV"
                known.append(one)
        finally:
            self.records = known
        return told


class Salesforce(Org):
    """An org that thinks `delay` seconds over each call."""

    def __init__(self, *, delay):
        super().__init__()
        self._delay = delay
        self.allowed = 10_000_000
        self.leads = Many(now=self.now, user_id=self.leads.user_id)

    def handle(self, method, target, headers, body):
        time.sleep(self._delay)
        if method == "POST" and target.rstrip("/").endswith("/sobjects/Lead"):
            self.calls.append(("create", method, target))
            record = json.loads(body) | {"attributes": {"type": "Lead"}}
            return Reply(201, self.leads.write([record], external=None, saves=False, assigned="TRUE")[0])
        return super().handle(method, target, headers, body)


def dynamics(folder, delay):
    """Start a Dataverse environment; gives its settings, its secrets, and what counts calls and leads."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = str(Path(folder) / "dataverse.pem")
    authority.cert_pem.write_to_path(bundle)
    entra = EntraServer(context)
    server = Dataverse(context, entra, delay=delay)
    settings = {
        "type": "dynamics", "url": server.url, "auth": "app", "tenant_id": TENANT, "client_id": CLIENT,
        "client_secret": "env:BENCH_DYNAMICS", "authority": entra.url, "ca_bundle": bundle,
    }  # fmt: skip
    return settings, {"BENCH_DYNAMICS": SECRET}, lambda: (len(server.calls) + len(entra.calls), len(server.leads))


def salesforce(folder, delay):
    """Start an org; gives the same."""
    del folder  # it makes its own
    org = Salesforce(delay=delay)
    org.__enter__()
    settings = {
        "type": "salesforce", "auth": "client_credentials", "login_url": org.url, "client_id": APP,
        "client_secret": "env:BENCH_SALESFORCE", "ca_bundle": org.ca_bundle,
    }  # fmt: skip
    return settings, {"BENCH_SALESFORCE": APP_SECRET}, lambda: (len(org.calls), len(org.leads.records))


def main(kind, delay):
    """Run one until the input ends."""
    with tempfile.TemporaryDirectory() as folder:
        settings, secrets, counted = {"dynamics": dynamics, "salesforce": salesforce}[kind](folder, float(delay))
        print(json.dumps({"settings": settings, "secrets": secrets}), flush=True)
        for _ in sys.stdin:
            calls, leads = counted()
            print(json.dumps({"calls": calls, "leads": leads}), flush=True)


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    threading.excepthook = lambda _: None  # callers that hang up
    main(*sys.argv[1:])
