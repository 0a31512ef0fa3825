"""`leadwire copy-store` beside a server that takes leads: killed and taken up again, nothing lost or doubled."""

import json
import random
import subprocess
import sys
import threading
import time

import psycopg
import pytest
import requests
import sqlalchemy as sa

from app.store.tables import receipts
from tests.parts.server import lead, until

REFUSED = 503


@pytest.fixture
def goal(postgres_server):
    """The URL of an empty PostgreSQL database."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


class Senders:
    """Post leads one after the other, and keep book of what was answered."""

    def __init__(self, server, threads=3):
        self._server = server
        self._stopping = threading.Event()
        self.accepted, self.refused = [], []
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _send(self, thread):
        number = 0
        while not self._stopping.is_set():
            number += 1
            answer = self._server.post(lead(thread * 1_000_000 + number))
            if answer.status_code == requests.codes.accepted:
                self.accepted.append(answer.json()["id"])
            else:
                self.refused.append((answer.status_code, answer.headers.get("Retry-After")))
                time.sleep(0.05)
            time.sleep(0.002)

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def start(server, goal):
    return subprocess.Popen(
        [sys.executable, "-m", "app", "copy-store", goal, "--yes", "--json"],
        cwd=server.folder,
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def progress(goal):
    """How far the copy says it came; None before it began."""
    with psycopg.connect(goal) as connection:
        try:
            found = connection.execute("SELECT value FROM meta WHERE name = 'copying'").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return found and found[0]


def test_a_store_in_use_moves_although_the_command_is_killed_again_and_again(server, goal, opened):
    dice = random.Random(11)
    server.start()
    senders = Senders(server)
    assert until(lambda: len(senders.accepted) > 1500, seconds=40)
    cut_off = []
    for _ in range(3):
        copying = start(server, goal)
        known = progress(goal)
        assert until(lambda known=known: progress(goal) != known, seconds=20)
        time.sleep(dice.uniform(0, 0.2))
        copying.kill()
        copying.communicate()
        cut_off.append(progress(goal))
    assert None not in cut_off
    copying = start(server, goal)
    told, errors = copying.communicate(timeout=60)
    assert copying.returncode == 0, told + errors
    told = json.loads(told)
    moved = {one["table"]: one["rows"] for one in told["tables"]}
    assert until(lambda: len(senders.refused) > 5, seconds=10)
    senders.stop()
    # Since it is closed nobody is told that a lead was kept; each is told to come again.
    assert {status for status, _ in senders.refused} == {REFUSED}
    assert all(after for _, after in senders.refused)
    assert moved["receipts"] + moved["inbox"] == len(senders.accepted)
    assert "copied to PostgreSQL" in server.log.read_text()
    assert server.stop() == 0
    said = server.command("leads")
    assert said.returncode == 1
    assert "was copied to PostgreSQL" in said.stderr
    with server.config.open("a") as config:
        config.write(f'[encryption]\nkey = "{told["encryption_key"]}"\n')
    server.config.write_text(server.config.read_text().replace("sqlite:///var/leadwire.db", goal))
    server.start()
    accepted = [*senders.accepted, server.post(lead(9_000_000)).json()["id"]]
    assert until(lambda: len(server.delivered()) >= len(accepted), seconds=60)
    assert sorted(server.delivered()) == sorted(accepted)
    with opened(goal).read() as connection:
        assert sorted(connection.execute(sa.select(receipts.c.id)).scalars()) == sorted(accepted)


def test_what_cannot_be_copied_is_said(server, goal):
    secret = goal.replace("@", ":a-password@", 1)
    for url, words in (
        (secret, "its password goes into --password"),
        ("sqlite:///var/other.db", "postgresql://USER@HOST/DATABASE"),
        ("nonsense", "URL"),
    ):
        done = server.command("copy-store", url)
        assert (done.returncode, "a-password" in done.stderr) == (2, False)
        assert words in done.stderr
    done = server.command("copy-store", goal, "--password", "env:NOT_SET_ANYWHERE")
    assert (done.returncode, "NOT_SET_ANYWHERE is not set" in done.stderr) == (2, True)
    server.config.write_text(server.config.read_text().replace("sqlite:///var/leadwire.db", goal))
    done = server.command("copy-store", goal)
    assert (done.returncode, "only a SQLite store is copied" in done.stderr) == (1, True)


def test_without_a_yes_nothing_is_moved_and_abandoning_leaves_the_store_as_it_was(server, goal):
    server.start()
    server.post(lead(1))
    done = server.command("copy-store", goal, text="n\n")
    assert (done.returncode, "Close the store here and move?" in done.stderr) == (1, True)
    assert server.post(lead(2)).status_code == requests.codes.accepted
    assert server.json("copy-store", goal, "--abandon") == {"ok": True, "abandoned": True}
    assert server.post(lead(3)).status_code == requests.codes.accepted
    assert until(lambda: len(server.delivered()) == 3, seconds=20)
