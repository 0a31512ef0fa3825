"""Several machines in one: network namespaces on a bridge, each with an address and a name of its own, and a cable."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.parts.server import Server, until

ROOT = Path(__file__).parents[2]
_networks = itertools.count(1)


class NotPermittedError(Exception):
    """This user may not make network namespaces."""


def _ip(*words):
    done = subprocess.run(["/usr/bin/env", "ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"ip {' '.join(words)}: {done.stderr.strip()}"
        raise NotPermittedError(msg)


class Host(Server):
    """One machine on the bridge; `cut` pulls its cable and `join` puts it in again."""

    def __init__(self, network, name, folder, **more):
        super().__init__(folder, **more)
        # One receiver each: there are several hosts on this machine's cores.
        self.config.write_text(self.config.read_text().replace("[server]\n", "[server]\nworkers = 1\n"))
        self.name, self._network = name, network
        self._space, self._cable = f"{network.name}-{name}", f"{network.name}{name}"
        self.address = network.next_address()
        self.url = f"http://{self.address}:8080"
        _ip("netns", "add", self._space)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._space)
        _ip("link", "set", self._cable, "master", network.name, "up")
        _ip("-n", self._space, "link", "set", "lo", "up")
        _ip("-n", self._space, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self._space, "link", "set", "eth0", "up")
        # As on a machine of its own, the host's name is its own too: workers are named after it.
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name]
        self.inside = ["ip", "netns", "exec", self._space, *named]

    def receive(self):
        """Start to receive."""
        self.start("--no-worker", "--bind", f"{self.address}:8080", before=self.inside, wait=False)

    def work(self):
        """Start to deliver."""
        with self.log.open("ab") as log:
            command = [*self.inside, sys.executable, "-m", "app", "work"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)

    def cut(self):
        _ip("link", "set", self._cable, "down")

    def join(self):
        _ip("link", "set", self._cable, "up")

    def end(self):
        super().end()
        for words in (("link", "del", self._cable), ("netns", "del", self._space)):
            with contextlib.suppress(NotPermittedError):
                _ip(*words)


class Network:
    """A bridge with hosts, and on it this machine with what it forwards."""

    def __init__(self, folder):
        # What was taken down is gone a moment later only: no name is used twice.
        self.name = f"lw{os.getpid() % 100_000}n{next(_networks)}"
        self._net = f"10.201.{os.getpid() % 250}"
        self.address = f"{self._net}.1"
        self._folder = folder
        self._last = 1
        self.hosts, self._forwarders = [], []
        _ip("link", "add", self.name, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self.name)
        _ip("link", "set", self.name, "up")

    def next_address(self):
        self._last += 1
        return f"{self._net}.{self._last}"

    def host(self, name, **more):
        """Add a machine."""
        folder = self._folder / name
        folder.mkdir()
        self.hosts.append(Host(self, name, folder, **more))
        return self.hosts[-1]

    def forward(self, url, port, *, delay_ms=0):
        """Have a service of this machine's reached from the bridge, each way taking so long; gives its URL there."""
        known = sa.make_url(url)
        there = f"{known.host}:{known.port or port}"
        command = [sys.executable, "-m", "tests.parts.forwarder", f"{self.address}:{port}", there, str(delay_ms)]
        self._forwarders.append(subprocess.Popen(command, cwd=ROOT))
        return known.set(host=self.address, port=port).render_as_string(hide_password=False)

    def ready(self):
        """Wait until every host that receives answers."""
        for host in self.hosts:
            if host.process is not None and "--bind" in host.process.args:
                assert until(lambda host=host: host.answers("/healthz"), seconds=40), host.log.read_text()

    def end(self):
        for host in self.hosts:
            host.end()
        for forwarder in self._forwarders:
            forwarder.kill()
            forwarder.wait()
        _ip("link", "del", self.name)


@pytest.fixture
def network(tmp_path):
    """A bridge with nobody on it yet."""
    try:
        made = Network(tmp_path)
    except (NotPermittedError, FileNotFoundError) as exc:
        pytest.skip(f"network namespaces can't be had here (root and iproute2 are needed): {exc}")
    yield made
    made.end()
