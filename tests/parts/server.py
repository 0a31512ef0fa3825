"""A real `leadwire serve` in a folder of its own, with its processes to find and to kill."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import requests

KEY = "a-key-for-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One Leadwire: its folder, its configuration, its processes."""

    def __init__(self, folder: Path, *, store: str = "", more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "leadwire.toml"
        self.leads = folder / "var" / "leads.jsonl"
        self.log = folder / "log"
        destinations = (
            "" if "[destinations." in more else '[destinations.archive]\ntype = "file"\npath = "var/leads.jsonl"\n'
        )
        self.config.write_text(
            f'[server]\nbind = "127.0.0.1:{self.port}"\n'
            f'[store]\nurl = "{store or "sqlite:///var/leadwire.db"}"\n'
            '[sources.marketplace]\nkeys = ["env:LEADWIRE_TEST_KEY"]\n' + destinations + more
        )
        self.environment = {
            **os.environ,
            "LEADWIRE_CONFIG": str(self.config),
            "LEADWIRE_TEST_KEY": KEY,
            "PYTHONUNBUFFERED": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, wait: bool = True, pipe: bool = False, before: Sequence[str] = ()) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "app", "serve", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
            )
        if wait:
            path = "/healthz" if "--no-worker" in arguments else "/readyz"
            assert until(lambda: self.answers(path), seconds=60), self.log.read_text()

    def answers(self, path: str) -> bool:
        try:
            return requests.get(self.url + path, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def stop(self, *, within: float = 11) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def post(self, body: object, **more: object) -> requests.Response:
        timeout = more.pop("timeout", 15)
        return requests.post(f"{self.url}/leads?code={KEY}", json=body, timeout=timeout, **more)

    def command(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> object:
        done = self.command(*arguments, "--json")
        return json.loads(done.stdout)

    def events(self, name: str) -> list[dict[str, object]]:
        lines = (line for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def processes(self) -> dict[int, str]:
        """Every process of this server by number: `serve`, `work`, `receivers`, and its children, each a `receiver`."""
        assert self.process is not None
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        forked: dict[int, list[str]] = {}  # by number, its parent's command
        for pid in waiting:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                for task in Path(f"/proc/{pid}/task").iterdir():  # children belong to the thread that made them
                    children = [int(child) for child in (task / "children").read_text().split()]
                    waiting += children
                    forked.update(dict.fromkeys(children, command))
            except OSError:
                continue
            name = next((name for name in ("serve", "work") if name in command), "receivers")
            found[pid] = "receiver" if forked.get(pid) == command else name
        return found

    def delivered(self) -> list[str]:
        """The ids in the file destination, in the order they came; not of a line that is being written."""
        if not self.leads.exists():
            return []
        lines = self.leads.read_text().splitlines(keepends=True)
        return [json.loads(line)["id"] for line in lines if line.endswith("\n")]

    def end(self) -> None:
        """Leave nothing running, whatever happened."""
        if self.process is None:
            return
        for pid in self.processes():
            with_kill(pid)
        self.process.wait(10)


def with_kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def until(true: object, *, seconds: float) -> bool:
    """Wait until `true()` is, at most so long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if true():
            return True
        time.sleep(0.02)
    return bool(true())


@pytest.fixture
def server(tmp_path: Path):
    """A server that is not started yet."""
    made = Server(tmp_path)
    yield made
    made.end()


@pytest.fixture
def server_on(store_url: str, tmp_path: Path):
    """A server that is not started yet, once on each database."""
    folder = tmp_path / "server"
    folder.mkdir()
    made = Server(folder, store=store_url)
    yield made
    made.end()


@pytest.fixture
def server_to_table(server_on: Server, azurite):
    """The same with two destinations, the file and a table of its own in Azurite; `rows()` gives the table's leads."""
    from azure.core.exceptions import ResourceNotFoundError
    from azure.data.tables import TableClient

    table = f"Leads{time.time_ns()}"
    with server_on.config.open("a") as config:
        config.write(
            f'[destinations.table]\ntype = "azure_table"\nconnection_string = "env:TABLES"\ntable = "{table}"\n'
        )
    server_on.environment["TABLES"] = azurite.connection_string

    def rows() -> list[str]:
        with (
            contextlib.suppress(ResourceNotFoundError),  # nothing was written yet
            TableClient.from_connection_string(azurite.connection_string, table) as client,
        ):
            return [row["RowKey"] for row in client.list_entities(select="RowKey")]
        return []

    server_on.rows = rows
    return server_on


def lead(number: int, **more: object) -> dict[str, object]:
    """A lead unlike every other, in the shape the marketplace really sends."""
    person = {"firstName": "Some", "lastName": f"One {number}", "email": f"someone{number}@contoso.com"}
    offer = {"leadSource": "AzureMarketplace", "actionCode": "INS", "offerTitle": "Test Microsoft"}
    return {"userDetails": {**person, "country": "US", "company": "Contoso"}, **offer, **more}
