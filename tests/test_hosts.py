"""Several hosts on one PostgreSQL, each in a network of its own: one is cut off and comes back, and nothing is lost.

`LEADWIRE_HOSTS_SECONDS` makes the time without the cable longer than the few seconds of every day.
"""

import json
import os
import threading
import time
from collections import Counter

import pytest
import requests

from tests.parts.server import KEY, lead, until

AWAY = float(os.environ.get("LEADWIRE_HOSTS_SECONDS", "7"))
PATIENCE = 4  # seconds a sender waits
AROUND = 2.5  # seconds before and after


class Sender(threading.Thread):
    """Posts leads to one host, each once, and keeps book; what got no answer may have been kept or not."""

    def __init__(self, host, number):
        super().__init__(name=f"sender {number}")
        self._host, self._first = host, number * 1_000_000
        self.stopping = threading.Event()
        self.accepted, self.unanswered, self.refused = [], [], Counter()

    def run(self):
        number = self._first
        while not self.stopping.is_set():
            number += 1
            body = lead(number)
            email = body["userDetails"]["email"]
            try:
                answer = requests.post(f"{self._host.url}/leads?code={KEY}", json=body, timeout=PATIENCE)
            except requests.RequestException:
                self.unanswered.append(email)
                continue
            if answer.status_code == requests.codes.accepted:
                self.accepted.append(email)
            else:
                self.refused[answer.status_code] += 1
            time.sleep(0.02)


def hosts_of(network, postgres_database, tmp_path, *, delay_ms=1):
    """Three hosts that receive and three that deliver, to one file and through the network to one table."""
    store = network.forward(postgres_database, 5432, delay_ms=delay_ms)
    more = f'[delivery]\nlease_seconds = 5\n[destinations.archive]\ntype = "file"\npath = "{tmp_path}/leads.jsonl"\n'
    receivers = [network.host(f"r{number}", store=store, more=more) for number in (1, 2, 3)]
    workers = [network.host(f"w{number}", store=store, more=more) for number in (1, 2, 3)]
    return receivers, workers


@pytest.mark.timeout(180 + 2 * AWAY)
def test_a_host_that_is_cut_off_and_comes_back_costs_no_lead_and_doubles_none(network, postgres_url, tmp_path):
    receivers, workers = hosts_of(network, postgres_url, tmp_path)
    for host in receivers:
        host.receive()
    for host in workers:
        host.work()
    network.ready()
    senders = [Sender(host, number) for number, host in enumerate(receivers, 1)]
    for sender in senders:
        sender.start()
    time.sleep(AROUND)
    before = [len(sender.accepted) for sender in senders]
    receivers[0].cut()
    workers[0].cut()
    time.sleep(AWAY)
    during = [len(sender.accepted) for sender in senders]
    receivers[0].join()
    workers[0].join()
    assert until(lambda: len(senders[0].accepted) > during[0] + 5, seconds=20), "the host did not come back"
    time.sleep(AROUND)
    for sender in senders:
        sender.stopping.set()
    for sender in senders:
        sender.join()
    assert before[0] > 10
    assert during[0] - before[0] <= 1, "nobody could reach it"
    assert during[1] - before[1] > 10, "the others went on"
    accepted = [email for sender in senders for email in sender.accepted]
    unanswered = {email for sender in senders for email in sender.unanswered}

    def delivered():
        lines = (tmp_path / "leads.jsonl").read_text().splitlines()
        return Counter(json.loads(line)["lead"]["email"] for line in lines)

    # What its worker held is free again when the lease is over.
    assert until(lambda: set(accepted) <= set(delivered()), seconds=40), len(set(accepted) - set(delivered()))
    assert until(lambda: all(one["waiting"] == 0 for one in overview(receivers[1])), seconds=20)
    found = delivered()
    assert [email for email, times in found.items() if times > 1] == []
    assert set(found) - set(accepted) <= unanswered
    assert sum((sender.refused for sender in senders[1:]), Counter()) == Counter()
    names = {event["worker"] for host in workers for event in host.events("worker.started")}
    assert names == {"w1-1", "w2-1", "w3-1"}


def overview(host):
    return host.json("overview")["destinations"]
