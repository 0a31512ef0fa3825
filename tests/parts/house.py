"""A Leadwire with every kind of destination, all of whose bytes can be looked through: disk, wire, mails, answers."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from azure.data.tables import TableClient

from tests.faults.cluster import Cluster
from tests.faults.systems import Systems
from tests.faults.wire import Wire
from tests.parts.canary import Canary
from tests.parts.server import Server, with_kill
from tests.parts.smtp import PASSWORD, SENDER, TEAM, USERNAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

    from tests.parts.azurite import Azurite
    from tests.parts.smtp import MailServer

DESTINATIONS = ("archive", "crm", "sales", "table", "team-mail")
PEOPLE = "ops@contoso.example"  # whom alerts are mailed to
# Patience for what is mended soon; leases that a killed worker leaves end soon.
CONFIG = """
[delivery]
lease_seconds = 5
schedule = [{waits}]

[alerts]
via = "team-mail"
to = ["{people}"]
after = "1s"

[destinations.archive]
type = "file"
path = "var/leads.jsonl"

[destinations.table]
type = "azure_table"
connection_string = "env:TABLES"
table = "{table}"

[destinations.team-mail]
type = "email"
transport = "smtp"
host = "127.0.0.1"
port = {mail.port}
username = "{username}"
password = "env:MAIL_PASSWORD"
from = "{sender}"
to = ["{team}"]
ca_bundle = "{ca_bundle}"
"""
WAITS = ", ".join(f'"{one}"' for one in ["0s", *["1s"] * 60])


class House:
    """The server, the systems it delivers to, the database's cluster and line if it has them, and what was said."""

    def __init__(self, server: Server, systems: Systems, mail: MailServer, *, table: str) -> None:
        """Take what runs already."""
        self.server, self.systems, self.mail = server, systems, mail
        self.table = table
        self.cluster: Cluster | None = None
        self.wire: Wire | None = None
        self.said: list[tuple[str, bytes]] = []  # what was answered and printed, by what was asked
        self.token = ""  # a reader's, for the API
        self.born = time.time()
        self.person = Canary()

    # --- what is asked of it

    def heard(self, name: str, answer: requests.Response) -> requests.Response:
        """Keep all of an answer."""
        head = "\n".join(f"{key}: {value}" for key, value in answer.headers.items())
        self.said.append((f"answer to {name}", f"{answer.reason}\n{head}\n".encode() + answer.content))
        return answer

    def command(self, *words: str, text: str | None = None) -> str:
        """Run a command and keep what it prints; gives its standard output."""
        done = self.server.command(*words, text=text)
        self.said.append((" ".join(words[:2]), f"{done.stdout}\n{done.stderr}".encode()))
        return done.stdout

    def asked(self, *words: str) -> Any:
        """Give the JSON that a command prints, and keep it."""
        return json.loads(self.command(*words, "--json"))

    def waits(self) -> set[str]:
        """Give the destinations that don't have everything."""
        owed = [one for lead in self.asked("leads") for one in lead["deliveries"].items()]
        return {name for name, state in owed if state != "sent"}

    def killed(self, name: str) -> None:
        """Kill -9 every process of one kind: serve (the supervisor), work, receivers (their parent), receiver."""
        found = [pid for pid, known in self.server.processes().items() if known == name]
        assert found, f"no process is a {name}"
        for pid in found:
            with_kill(pid)

    # --- where the person may be

    def destinations(self) -> dict[str, bytes]:
        """Give what each destination has that is to have the person."""
        connection = self.server.environment["TABLES"]
        with TableClient.from_connection_string(connection, self.table) as client:
            rows = [dict(row) for row in client.list_entities()]
        written = {"crm": self.systems.crm.leads, "sales": self.systems.org.leads.records, "table": rows}
        return {"archive": self.server.leads.read_bytes()} | {
            name: json.dumps(there, default=str, ensure_ascii=False).encode() for name, there in written.items()
        }

    # --- where the person may not be

    def everywhere_else(self) -> Iterator[tuple[str, bytes]]:
        """Give every byte that isn't at a destination: files, the database's, the line to it, mails, what was said."""
        for path in self.server.folder.rglob("*"):
            if path.is_file() and path != self.server.leads:
                yield str(path), path.read_bytes()
        if self.cluster is not None and self.wire is not None:
            self.cluster.sql("CHECKPOINT")  # what was only in memory is in a file
            for path in self.cluster.folder.parent.rglob("*"):
                # What was last written before there was this person can't be about them.
                if path.is_file() and path.stat().st_mtime >= self.born - 1:
                    yield str(path), path.read_bytes()
            yield "the line to PostgreSQL", bytes(self.wire.heard or b"")
        for number, (_, recipients, content) in enumerate(self.mail.mails):
            yield f"mail {number} to {recipients}", content
        yield from self.said

    def seen(self) -> dict[str, list[str]]:
        """Name every place but the destinations where the person can be read, with what of them."""
        found = {place: self.person.found(data) for place, data in self.everywhere_else()}
        return {place: names for place, names in found.items() if names}


@pytest.fixture
def house(database: str, tmp_path: Path, azurite: Azurite, mail_server: Any, ca_bundle: str) -> Iterator[House]:
    """A house that is not started yet, on each database."""
    folder = tmp_path / "house"
    for name in (folder, folder / "home", folder / "temporary"):
        name.mkdir()
    with ExitStack() as stack:
        cluster = wire = None
        if database == "postgresql":
            cluster = Cluster.new()
            stack.callback(cluster.remove)
            cluster.start()
            wire = stack.enter_context(Wire(cluster.port))
            wire.heard = bytearray()
        systems = stack.enter_context(Systems(folder))
        mail = mail_server()
        table = f"Leads{time.time_ns()}"
        config = CONFIG.format(
            waits=WAITS, people=PEOPLE, table=table, mail=mail, username=USERNAME, sender=SENDER, team=TEAM,
            ca_bundle=ca_bundle,
        )  # fmt: skip
        store = cluster.url_at(wire.port) if cluster and wire else ""
        server = Server(folder, store=store, more=config + systems.destinations)
        server.environment |= systems.environment | {
            "TABLES": azurite.connection_string, "MAIL_PASSWORD": PASSWORD, "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "temporary"),
        }  # fmt: skip
        stack.callback(server.end)
        made = House(server, systems, mail, table=table)
        made.cluster, made.wire = cluster, wire
        yield made
