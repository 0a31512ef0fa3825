"""What every destination promises, one case a type. A new destination adds a case; this file names what is missing."""

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from app.catalogue import Catalogue, shipped_folder
from app.destinations import REGISTRY, load_type, types
from app.destinations.base import DeliveryFailed, Sent, Tools
from tests.parts import azurite as azurite_part
from tests.parts.smtp import PASSWORD, START, USERNAME
from tests.standins import dataverse as dataverse_standin
from tests.standins import entra as entra_standin
from tests.standins import salesforce as salesforce_standin

ROOT = Path(__file__).parents[1]
CANARY = {
    "first_name": "Zaphkiel",
    "last_name": "Quillfeather",
    "email": "zaphkiel.q@contoso.com",
    "phone": "5550987123",
}


class Case:
    """How a destination of one type is made, looked into and broken."""

    network: ClassVar[bool] = True

    def __init__(self, request):
        self.fixture = request.getfixturevalue
        self.fixture("monkeypatch").setenv("MAIL_PASSWORD", PASSWORD)

    def settings(self):
        """Settings that work."""
        raise NotImplementedError

    def pointing_at(self, port):
        """Settings that work but for the address."""
        raise NotImplementedError

    def records(self):
        """How many records the outside has."""
        raise NotImplementedError


class FileCase(Case):
    network = False

    def settings(self):
        return {"type": "file", "path": str(self.fixture("tmp_path") / "leads.jsonl")}

    def records(self):
        return len(Path(self.settings()["path"]).read_text().splitlines())


class TableCase(Case):
    def settings(self):
        return self.pointing_at(self.fixture("azurite").port)

    def pointing_at(self, port):
        text = azurite_part.connection_string(f"http://127.0.0.1:{port}/{azurite_part.ACCOUNT}")
        self.fixture("monkeypatch").setenv("TABLES", text)
        name = "".join(char for char in self.fixture("request").node.name.title() if char.isalnum())[:60]
        return {"type": "azure_table", "connection_string": "env:TABLES", "table": name}

    def records(self):
        from azure.data.tables import TableClient

        settings = self.settings()
        text = self.fixture("azurite").connection_string
        with TableClient.from_connection_string(text, settings["table"]) as client:
            return len(list(client.list_entities()))


class EmailCase(Case):
    server = None

    def settings(self):
        self.server = self.server or self.fixture("mail_server")()
        return self.pointing_at(self.server.port)

    def pointing_at(self, port):
        return {
            "type": "email", "transport": "smtp", "host": "127.0.0.1", "port": port, "username": USERNAME,
            "password": "env:MAIL_PASSWORD", "from": USERNAME, "to": ["sales@contoso.example"],
            "ca_bundle": self.fixture("ca_bundle"),
        }  # fmt: skip

    def records(self):
        return len({message["Message-ID"] for message in self.server.parsed()})


class SalesforceCase(Case):
    org = None

    def settings(self):
        if self.org is None:
            self.org = salesforce_standin.Org(now=lambda: START).__enter__()
            self.fixture("request").addfinalizer(lambda: self.org.__exit__(None, None, None))
        return self.pointing_at(self.org.port) | {"ca_bundle": self.org.ca_bundle}

    def pointing_at(self, port):
        self.fixture("monkeypatch").setenv("SF_SECRET", salesforce_standin.SECRET)
        return {
            "type": "salesforce", "auth": "client_credentials", "login_url": f"https://127.0.0.1:{port}",
            "client_id": salesforce_standin.CLIENT, "client_secret": "env:SF_SECRET",
        }  # fmt: skip

    def records(self):
        return len(self.org.leads.records)


class DynamicsCase(Case):
    entra = crm = None

    def settings(self):
        if self.crm is None:
            self.entra = entra_standin.EntraServer(self.fixture("server_tls"))
            self.crm = dataverse_standin.DataverseServer(self.fixture("server_tls"), self.entra)
            for server in (self.entra, self.crm):
                self.fixture("request").addfinalizer(server.stop)
        return self.pointing_at(self.entra.port) | {"url": self.crm.url}

    def pointing_at(self, port):
        self.fixture("monkeypatch").setenv("DYNAMICS_SECRET", entra_standin.SECRET)
        return {
            "type": "dynamics", "url": f"https://127.0.0.1:{port}", "authority": f"https://127.0.0.1:{port}",
            "tenant_id": entra_standin.TENANT, "client_id": entra_standin.CLIENT,
            "client_secret": "env:DYNAMICS_SECRET", "ca_bundle": self.fixture("ca_bundle"),
        }  # fmt: skip

    def records(self):
        return len(self.crm.leads)


CASES = {
    "file": FileCase,
    "azure_table": TableCase,
    "email": EmailCase,
    "salesforce": SalesforceCase,
    "dynamics": DynamicsCase,
}
NETWORK = [name for name, case in CASES.items() if case.network]


@pytest.fixture
def case(request):
    return CASES[request.param](request)


@pytest.fixture
def make():
    made = []

    def new(settings):
        kind = load_type(settings["type"])
        tools = Tools(now=lambda: START, public_url="https://leads.contoso.example")
        made.append(kind("one", kind.schema().load(settings), tools))
        return made[-1]

    yield new
    for destination in made:
        destination.close()


def parcels(count, *, redelivery=False):
    ids = [f"01a1fbc1-6fd5-74b1-83c9-{number:012x}" for number in range(count)]
    return [
        replace(
            azurite_part.parcel(at=START, **CANARY, description="Call me on 5550987123"),
            delivery_id=id_,
            lead_id=id_,
            redelivery=redelivery,
        )
        for id_ in ids
    ]


@contextmanager
def hanging_up():
    """A port where every caller is cut off."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def hang_up():
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def failure(call):
    """What a call failed with: raised for all, or the outcome of one."""
    try:
        outcome = call()
    except DeliveryFailed as failed:
        return failed
    assert isinstance(outcome, DeliveryFailed)
    return outcome


def test_every_type_has_a_case_and_catalogue_entries():
    """What a new destination still lacks is named here."""
    assert set(REGISTRY) == set(CASES)
    for name in REGISTRY:
        assert (ROOT / "config" / "errors" / f"{name}.toml").exists(), name


def test_a_type_of_another_package_comes_through_the_same_door(monkeypatch):
    from importlib.metadata import EntryPoint

    import app.destinations as door

    added = EntryPoint("carrier-pigeon", "app.destinations.file:File", door.GROUP)
    monkeypatch.setattr(
        door,
        "entry_points",
        lambda group, name=None: [added] if group == door.GROUP and name in (None, "carrier-pigeon") else [],
    )
    assert "carrier-pigeon" in types()
    assert load_type("carrier-pigeon") is load_type("file")


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_check_is_green_and_leaves_nothing(case, make):
    destination = make(case.settings())
    assert "\n" not in destination.check()
    assert destination.send(parcels(1)) == [Sent(remote_id=destination.send(parcels(1, redelivery=True))[0].remote_id)]
    assert case.records() == 1


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_the_same_delivery_twice_leaves_one_record(case, make):
    destination = make(case.settings())
    first = destination.send(parcels(5))
    again = make(case.settings()).send(parcels(5, redelivery=True))
    assert all(isinstance(outcome, Sent) for outcome in [*first, *again])
    assert case.records() == 5


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_outcomes_come_in_the_order_and_number_of_the_parcels(case, make):
    destination = make(case.settings())
    for count in (1, 2, 7):
        assert len(destination.send(parcels(count))) == count


@pytest.mark.parametrize("case", NETWORK, indirect=True)
def test_a_refused_connection_is_network_refused(case, make):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        destination = make(case.pointing_at(nobody.getsockname()[1]))
        assert failure(lambda: destination.send(parcels(1))[0]).code == "network.refused"
        assert failure(destination.check).code == "network.refused"


@pytest.mark.parametrize("case", NETWORK, indirect=True)
def test_a_system_that_hangs_up_is_a_failure_without_a_person_in_it(case, make, capfd, caplog):
    with hanging_up() as port:
        destination = make(case.pointing_at(port))
        failed = failure(lambda: destination.send(parcels(1))[0])
    said = f"{failed!s} {failed!r} {capfd.readouterr()} {caplog.text}".lower()
    assert failed.code in {"network.interrupted", "network.timeout"}  # no certificate is at fault
    for value in CANARY.values():
        assert value.lower() not in said


@pytest.mark.parametrize("code", ["network.refused", "network.timeout", "network.tls-untrusted"])
@pytest.mark.parametrize("kind", REGISTRY)
def test_the_catalogue_translates_network_faults_of_every_type(kind, code):
    entry = Catalogue.load(shipped_folder()).translate(kind, code=code, status=None, detail="")
    assert entry.code.endswith(code.removeprefix("network.")) or entry.code == code
