"""`make demo`: five minutes with all four destinations, against stand-ins on this machine.

Dynamics 365 (with its sign-in service) and Salesforce are stand-ins from tests/standins; the table is Azurite's, the
mail goes to a real SMTP server, and Leadwire is the real thing, in a folder of its own that is removed at the end.
"""

from __future__ import annotations

import logging
import ssl
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import trustme

from tests.parts.azurite import Azurite
from tests.parts.server import Server, free_port, until
from tests.parts.smtp import PASSWORD, USERNAME, MailServer, controller
from tests.standins.dataverse import DataverseServer
from tests.standins.entra import SECRET as ENTRA_SECRET
from tests.standins.entra import EntraServer
from tests.standins.salesforce import CLIENT as SALESFORCE_CLIENT
from tests.standins.salesforce import SECRET as SALESFORCE_SECRET
from tests.standins.salesforce import Org

CONFIG = """
[destinations.crm]
type = "dynamics"
url = "{crm.url}"
auth = "app"
tenant_id = "{entra.tenant}"
client_id = "{entra.client}"
client_secret = "env:DYNAMICS_SECRET"
authority = "{entra.url}"
ca_bundle = "{ca_bundle}"

[destinations.sales]
type = "salesforce"
auth = "client_credentials"
login_url = "{org.url}"
client_id = "{salesforce_client}"
client_secret = "env:SF_SECRET"
ca_bundle = "{org.ca_bundle}"

[destinations.table]
type = "azure_table"
connection_string = "env:AZURE_TABLES"

[destinations.team-mail]
type = "email"
transport = "smtp"
host = "127.0.0.1"
port = {mail_port}
username = "{username}"
password = "env:SMTP_PASSWORD"
from = "{username}"
to = ["sales@contoso.example"]
ca_bundle = "{ca_bundle}"
"""
CUSTOMER = {
    "userDetails": {
        "firstName": "Some", "lastName": "One", "email": "someone@contoso.com", "phone": "16175555555",
        "country": "US", "company": "Contoso", "title": "Esquire",
    },
    "leadSource": "AzureMarketplace", "actionCode": "PLT", "offerTitle": "Test Microsoft",
    "description": "We have 300 seats and would start in spring.",
}  # fmt: skip


class Demo:
    """The stand-ins, the real Leadwire between them, and the tour."""

    def __init__(self, stack: ExitStack) -> None:
        """Start everything; `stack` stops it."""
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadwire-demo-")))
        authority = trustme.CA()
        ca_bundle = self.folder / "ca.pem"
        authority.cert_pem.write_to_path(str(ca_bundle))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        self.entra = EntraServer(tls)
        stack.callback(self.entra.stop)
        self.crm = DataverseServer(tls, self.entra)
        stack.callback(self.crm.stop)
        self.org = stack.enter_context(Org())
        self.azurite = Azurite(folder=self.folder, port=free_port())
        self.azurite.start()
        stack.callback(self.azurite.stop)
        self.mail = MailServer()
        smtp = controller(self.mail, tls=tls)
        smtp.start()
        stack.callback(smtp.stop)
        config = CONFIG.format(
            crm=self.crm, entra=self.entra, org=self.org, ca_bundle=ca_bundle, mail_port=smtp.port, username=USERNAME,
            salesforce_client=SALESFORCE_CLIENT,
        )  # fmt: skip
        home = self.folder / "leadwire"
        home.mkdir()
        self.server = Server(home, more=config)
        self.server.environment |= {
            "DYNAMICS_SECRET": ENTRA_SECRET,
            "SF_SECRET": SALESFORCE_SECRET,
            "AZURE_TABLES": self.azurite.connection_string,
            "SMTP_PASSWORD": PASSWORD,
        }
        stack.callback(self.server.end)
        self.server.start()

    def run(self) -> None:
        """Walk through it."""
        self._say(
            "1. Leadwire runs",
            f"It listens on {self.server.url} and knows four destinations: a Dynamics 365 and a Salesforce stand-in, "
            "Azure Table storage (Azurite) and a mail server. First: are they well?",
        )
        self._command("check")
        self._say("2. A test lead", "Posted as Microsoft does it, and followed until every destination has it.")
        self._command("send-test")
        self._say("3. A customer", "Somebody presses “Contact me” in the marketplace. The sender is answered at once.")
        id_ = self._post(CUSTOMER)
        self._wait(lambda: self.server.json("leads", "--state", "due") == [])
        self._command("show", id_)
        self._systems()
        self._say(
            "4. The CRM breaks",
            "An administrator takes the security role away from Leadwire's user in Dynamics 365, and three more "
            "customers come. The others don't notice.",
        )
        self.crm.roles = False
        for number in range(3):
            person = {**CUSTOMER["userDetails"], "email": f"someone{number}@contoso.com"}  # type: ignore[dict-item]
            self._post({**CUSTOMER, "userDetails": person})
        self._wait(lambda: bool(self.server.json("leads", "--state", "held")))
        self._command("problems")
        self._command("leads", "--state", "held")
        self._say(
            "5. The role is given back",
            "Leadwire would see it by itself at its next probe. `check` looks now, and what waited is delivered.",
        )
        self.crm.roles = True
        self._command("check")
        self._wait(lambda: self.server.json("problems") == [])
        self._command("problems")
        self._systems()
        print("\nThat is all. README.md says how to run it for real.\n")

    def _say(self, title: str, text: str) -> None:
        if sys.stdin.isatty() and not title.startswith("1"):
            input("\n[Enter]")
        print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}")
        print(textwrap.fill(text, 100), flush=True)

    def _command(self, *arguments: str) -> None:
        print(f"\n  $ leadwire {' '.join(arguments)}")
        done = self.server.command(*arguments)
        print(textwrap.indent((done.stdout + done.stderr).rstrip(), "  "), flush=True)
        if done.returncode:
            sys.exit(f"demo: `leadwire {' '.join(arguments)}` ended with {done.returncode}")

    def _post(self, body: dict[str, Any]) -> str:
        print(f"\n  $ curl {self.server.url}/leads?code=… -d '{{\"userDetails\": …}}'")
        answer = self.server.post(body)
        print(f"  {answer.status_code} {answer.text}")
        return str(answer.json()["id"])

    def _wait(self, true: Any) -> None:  # noqa: ANN401
        if not until(true, seconds=30):
            sys.exit(f"demo: it did not come to that in 30 s. The log:\n{self.server.log.read_text()[-3000:]}")
        time.sleep(0.2)

    def _systems(self) -> None:
        print("\n  What the systems have now:")
        print(f"    Dynamics 365: {len(self.crm.leads)} leads, the last one “{_last(self.crm.leads)['subject']}”")
        print(f"    Salesforce:   {len(self.org.leads.records)} leads")
        print(
            f"    mail server:  {len(self.mail.mails)} mails, the last one “{self.mail.parsed()[-1]['Subject']}”",
            flush=True,
        )


def _last(records: dict[str, Any]) -> Any:  # noqa: ANN401
    return next(reversed(records.values()))


def main() -> None:
    """Give the tour."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the mail server's own remarks are not part of it
    with ExitStack() as stack:
        Demo(stack).run()


if __name__ == "__main__":
    main()
