"""One, two, three hosts on one PostgreSQL that is a network away: does throughput rise with them?

Each host is a network namespace with its own Leadwire; the way to the database takes 5 ms each way, so that hosts wait
as they do between machines and these two cores are not what limits them. Not among what `make bench` runs.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.store import open_store
from app.store.arrival import letter
from bench.load import post
from bench.rows import Figure, Found, MissingError, Question
from bench.servers import folder, leads
from tests.parts.arrivals import arrival, inbox
from tests.parts.hosts import Network, NotPermittedError
from tests.parts.postgres import running
from tests.parts.server import until

if TYPE_CHECKING:
    from collections.abc import Iterator

DELAY_MS = 5
CONNECTIONS = 16  # a receiving host
WARM_UP, SECONDS = 2, 8
WAITING = 6000  # leads for the hosts that deliver
HOSTS = (1, 2, 3)
ROUNDS = 3
QUESTIONS = {
    "hosts-accept": Question(asks="Leads accepted a second by three hosts, database 10 ms away", reference="by one"),
    "hosts-deliver": Question(asks="Leads delivered a second by three hosts, likewise", reference="by one"),
}


def measure() -> Iterator[Found]:
    """Take one, two, three in turn."""
    for key, rate in (("hosts-accept", accepted), ("hosts-deliver", delivered)):
        took = {number: [] for number in HOSTS}
        for _ in range(ROUNDS):
            for number in HOSTS:
                took[number].append(rate(number))
        bars = {f"{number} host{'s' * (number > 1)}": Figure.of(rates) for number, rates in took.items()}
        yield Found(key=key, figure=Figure.paired(took[3], took[1]), bars=bars, unit="leads/s")


@contextmanager
def network() -> Iterator[tuple[Network, str, str]]:
    """Give a network with an empty database: its URL here and there."""
    server = running()
    if server is None:
        msg = "PostgreSQL; `make parts` installs it"
        raise MissingError(msg)
    with folder() as made:
        try:
            net = Network(made)
        except (NotPermittedError, FileNotFoundError) as exc:
            msg = f"network namespaces, for which root and iproute2 are needed ({exc})"
            raise MissingError(msg) from None
        url = server.create()
        try:
            yield net, url, net.forward(url, 5432, delay_ms=DELAY_MS)
        finally:
            net.end()
            server.drop(url)


def accepted(number: int) -> float:
    """Post to each host over connections of its own; gives all answers a second."""
    with network() as (net, _, store):
        for one in range(number):
            net.host(f"r{one}", store=store).receive()
        net.ready()
        addresses = [leads(host) for host in net.hosts]
        with ThreadPoolExecutor(number) as pool:
            for seconds in (WARM_UP, SECONDS):
                posts = [pool.submit(post, url, seconds=seconds, connections=CONNECTIONS) for url in addresses]
                found = [one.result() for one in posts]
        return sum(one.rate for one in found)


def delivered(number: int) -> float:
    """Have hosts sort in and deliver what waits, each to a file of its own; gives leads a second."""
    with network() as (net, url, remote):
        store = open_store(url)
        store.migrate()
        pile = [letter(arrival(one, to=("archive",)), store) for one in range(WAITING)]
        for start in range(0, WAITING, 200):
            inbox(store).keep(pile[start : start + 200])
        store.close()
        hosts = [net.host(f"w{one}", store=remote) for one in range(number)]
        for host in hosts:
            host.work()
        here = [0.0, 0.0, 0]  # when the first were seen, when all, how many those first were

        def all_there() -> bool:
            found = sum(len(host.delivered()) for host in hosts)
            here[1] = time.monotonic()
            if found and not here[0]:
                here[0], here[2] = here[1], found
            return found == WAITING

        if not until(all_there, seconds=120):
            msg = f"after two minutes not all of {WAITING} leads were delivered"
            raise RuntimeError(msg)
        return (WAITING - here[2]) / (here[1] - here[0])
