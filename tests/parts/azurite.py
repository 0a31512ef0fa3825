"""Azurite, Microsoft's storage emulator, from the npm packages that package-lock.json names: its table service only.

It differs from the real service where it was measured (3.35.0): a wrong key is answered `AuthorizationFailure` and not
`AuthenticationFailed`, and property names are not checked.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.destinations.azure_table import AzureTable
from app.destinations.base import Parcel, Tools
from app.lead import Lead
from tests.parts import unavailable

MAIN = Path(__file__).parents[2] / "node_modules/azurite/dist/src/table/main.js"
ACCOUNT = "devstoreaccount1"
# The emulator's documented account key, the same everywhere.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
NOON = datetime(2018, 9, 28, 12, tzinfo=UTC)
START_SECONDS = 60


def connection_string(endpoint, *, key=KEY, account=ACCOUNT):
    scheme = endpoint.partition(":")[0]
    return f"DefaultEndpointsProtocol={scheme};AccountName={account};AccountKey={key};TableEndpoint={endpoint}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Azurite:
    """One emulator on a port of its own; what it holds is gone when it stops."""

    folder: Path
    tls: tuple[Path, Path] | None = None  # certificate and key
    ca_bundle: str | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def account_url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self):
        return connection_string(self.account_url)

    def start(self):
        """Start it and wait until it takes connections."""
        node = shutil.which("node")
        if node is None or not MAIN.exists():
            unavailable("Azurite", "it needs Node.js and `npm ci`")
        command = [node, MAIN, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"]
        command += ["--tableHost", "127.0.0.1", "--tablePort", str(self.port)]
        if self.tls:
            command += ["--cert", self.tls[0], "--key", self.tls[1], "--oauth", "basic"]
        with (self.folder / "azurite.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        give_up = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                pytest.fail(f"Azurite did not start:\n{(self.folder / 'azurite.log').read_text()}")
            time.sleep(0.05)

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def azurite(tmp_path_factory):
    """A running emulator over http; a test that stops it starts it again."""
    emulator = Azurite(folder=tmp_path_factory.mktemp("azurite"))
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def azurite_tls(tmp_path_factory):
    """A running emulator over https, under its own CA, which takes Entra tokens too (signatures unchecked)."""
    import trustme

    folder = tmp_path_factory.mktemp("azurite-tls")
    ca, files = trustme.CA(), (folder / "cert.pem", folder / "key.pem")
    certificate = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_pem.write_to_path(files[1])
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(files[0], append=True)
    emulator = Azurite(folder=folder, tls=files, ca_bundle=str(folder / "ca.pem"))
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def table_at(monkeypatch):
    """Make destinations for a connection string (or other settings), each with a table of its own, and close them."""
    made = []

    def make(text=None, **settings):
        if text is not None:
            monkeypatch.setenv("LEADWIRE_TEST_TABLES", text)
            settings["connection_string"] = "env:LEADWIRE_TEST_TABLES"
        settings = {"type": "azure_table", "table": f"Leads{time.time_ns()}", **settings}
        tools = Tools(now=lambda: NOON, public_url="https://leads.contoso.example")
        made.append(AzureTable("table", AzureTable.schema().load(settings), tools))
        return made[-1]

    yield make
    for destination in made:
        destination.close()


@pytest.fixture
def rows_of():
    """Read a destination's whole table with a client of the SDK's own, by RowKey."""
    from azure.data.tables import TableClient

    def read(emulator, destination):
        table = destination._settings["table"]
        options = {"connection_verify": emulator.ca_bundle} if emulator.ca_bundle else {}
        with TableClient.from_connection_string(emulator.connection_string, table, **options) as client:
            return {row["RowKey"]: dict(row) for row in client.list_entities()}

    return read


def parcel(number=1, *, at=NOON, test=False, **lead):
    """A parcel of Microsoft's documented sample customer."""
    sample = {"first_name": "Some", "last_name": "One", "email": "someone@contoso.com", "phone": "16175555555"}
    sample |= {"country": "US", "company": "Contoso", "title": "Esquire", "lead_source": "AzureMarketplace"}
    sample |= {"action_code": "INS", "offer_title": "Test Microsoft", "description": "Test run"}
    return Parcel(
        delivery_id=f"delivery-{number}",
        lead_id=f"lead-{number:03}",
        received_at=at,
        source="marketplace",
        test=test,
        lead=Lead(**{**sample, **lead}),
    )
