"""The systems that leads are delivered to: stand-ins of Dynamics 365 and Salesforce, each behind a line of its own."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import trustme

from tests.faults.senders import EVERYWHERE, number_of
from tests.faults.wire import Wire
from tests.standins.dataverse import DataverseServer
from tests.standins.entra import SECRET as ENTRA_SECRET
from tests.standins.entra import EntraServer
from tests.standins.salesforce import CLIENT, SECRET, Org

if TYPE_CHECKING:
    from pathlib import Path

EXTERNAL = "Marketplace_Lead_Id__c"
ROUTES = """
[[routes]]
when = { offer = "contoso.everywhere" }
to = ["archive", "crm", "sales"]

[[routes]]
when = { offer = "contoso.*" }
to = ["archive"]

[destinations.archive]
type = "file"
path = "var/leads.jsonl"
"""
DESTINATIONS = f"""
[destinations.crm]
type = "dynamics"
url = "{{crm.url}}"
auth = "app"
tenant_id = "{{entra.tenant}}"
client_id = "{{entra.client}}"
client_secret = "env:DYNAMICS_SECRET"
authority = "{{entra.url}}"
ca_bundle = "{{bundle}}"

[destinations.sales]
type = "salesforce"
auth = "client_credentials"
login_url = "{{org.url}}"
client_id = "{CLIENT}"
client_secret = "env:SF_SECRET"
external_id_field = "{EXTERNAL}"
ca_bundle = "{{org.ca_bundle}}"
"""


class WiredOrg(Org):
    """An org that names itself by its line's port."""

    line: Wire | None = None

    @property
    def url(self) -> str:
        """Its address as others know it."""
        return f"https://127.0.0.1:{self.line.port if self.line else self.port}"


class Systems:
    """All of them; `config` is what an operator would write."""

    def __init__(self, folder: Path) -> None:
        """Take a folder for the authority's certificate."""
        self._bundle = folder / "ca.pem"
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start them."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self._bundle))
        self._right = authority.issue_cert("127.0.0.1", "localhost")
        self._wrong = trustme.CA().issue_cert("127.0.0.1", "localhost")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        entra_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for context in (self._tls, entra_tls):
            self._right.configure_cert(context)
        self.entra = EntraServer(entra_tls)
        self._open.callback(self.entra.stop)
        self.crm = DataverseServer(self._tls, self.entra)
        self._open.callback(self.crm.stop)
        self.crm_line = self._open.enter_context(Wire(self.crm.port))
        self.crm.url = f"https://localhost:{self.crm_line.port}"  # a name, which may not be found
        self.entra.resources.add(self.crm.url)
        self.org = self._open.enter_context(WiredOrg())
        self.org.leads.add(EXTERNAL, "string", 36, externalId=True, unique=True)
        self.org.allowed = 10**9
        self.org.line = self.org_line = self._open.enter_context(Wire(self.org.port))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        self.crm.hang.set()
        self._open.close()

    @property
    def config(self) -> str:
        """The destinations, with a file, and their routes."""
        return ROUTES + self.destinations

    @property
    def destinations(self) -> str:
        """These systems alone, for every lead."""
        return DESTINATIONS.format(crm=self.crm, entra=self.entra, org=self.org, bundle=self._bundle)

    @property
    def environment(self) -> dict[str, str]:
        """The secrets."""
        return {"DYNAMICS_SECRET": ENTRA_SECRET, "SF_SECRET": SECRET}

    def certificate(self, *, right: bool) -> None:
        """Have Dynamics 365 present its certificate, or one that nobody trusts."""
        (self._right if right else self._wrong).configure_cert(self._tls)
        self.crm_line.cut()

    def in_crm(self) -> list[tuple[str, int]]:
        """Give key and number of every lead in Dynamics 365."""
        return [(key, number_of(record["lastname"])) for key, record in list(self.crm.leads.items())]

    def in_sales(self) -> list[tuple[str, int]]:
        """Give key and number of every lead in Salesforce."""
        return [(record[EXTERNAL], number_of(record["LastName"])) for record in list(self.org.leads.records)]

    @staticmethod
    def wants(number: int) -> bool:
        """Whether a lead is for these."""
        return number % EVERYWHERE == 0
