"""Two versions at once on one store: this one, and one that is made of it by adding a migration."""

import shutil
from pathlib import Path

import pytest

from app.store.engine import SCHEMA_VERSION
from tests.parts.server import Server, lead, until

ROOT = Path(__file__).parents[1]
NEWER = "9001"
MIGRATION = '''
"""Something that a later version adds."""

import sqlalchemy as sa
from alembic import op

revision = "{newer}"
down_revision = "{ours}"
{says}


def upgrade():
    op.add_column("receipts", sa.Column("nickname", sa.Text(), server_default="", nullable=False))
    op.create_table("nicknames", sa.Column("id", sa.Text(), primary_key=True))
    op.create_index("receipts_by_nickname", "receipts", ["nickname"])
'''


@pytest.fixture
def newer_program(tmp_path):
    """Make a program that is newer by one migration, which says that older ones can go on, or doesn't."""

    def make(*, compatible):
        home = tmp_path / "newer"
        shutil.copytree(ROOT / "app", home / "app", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "config", home / "config")
        engine = home / "app/store/engine.py"
        ours, theirs = f'SCHEMA_VERSION = "{SCHEMA_VERSION}"', f'SCHEMA_VERSION = "{NEWER}"'
        assert engine.read_text().count(ours) == 1
        engine.write_text(engine.read_text().replace(ours, theirs))
        says = f'compatible_from = "{SCHEMA_VERSION}"' if compatible else ""
        step = MIGRATION.format(newer=NEWER, ours=SCHEMA_VERSION, says=says)
        (home / "app/store/migrations/versions" / f"{NEWER}_nicknames.py").write_text(step.lstrip())
        return home

    return make


@pytest.fixture
def servers(empty_url, tmp_path):
    """Make servers on one store that write to one file; `program` is the folder of another version."""
    made = []
    leads = tmp_path / "leads.jsonl"

    def make(program=None):
        folder = tmp_path / f"server-{len(made)}"
        folder.mkdir()
        archive = f'[destinations.archive]\ntype = "file"\npath = "{leads}"\n'
        server = Server(folder, store=empty_url, more=archive)
        server.leads = leads
        if program is not None:
            server.environment["PYTHONPATH"] = str(program)
        made.append(server)
        return server

    yield make
    for server in made:
        server.end()


def test_old_and_new_work_on_one_store_while_one_takes_the_place_of_the_other(servers, newer_program):
    old = servers()
    old.start()
    sent = [old.post(lead(1)).json()["id"]]
    new = servers(newer_program(compatible=True))
    new.start()
    for number in range(2, 30, 2):
        sent += [old.post(lead(number)).json()["id"], new.post(lead(number + 1)).json()["id"]]
    assert old.post(lead(3)).json() == {"id": sent[2], "status": "duplicate", "test": False}
    # The old one may also be started again, as when its host is restarted in the middle of an upgrade.
    assert old.stop() == 0
    old.start()
    sent.append(old.post(lead(100)).json()["id"])
    assert old.answers("/readyz")
    assert until(lambda: len(old.delivered()) >= len(sent), seconds=30)
    assert sorted(old.delivered()) == sorted(sent)
    assert old.json("show", sent[3])["deliveries"][0]["state"] == "sent"
    assert old.events("worker.outdated") == []


def test_an_old_one_ends_where_the_new_one_says_nothing_of_it(servers, newer_program):
    old = servers()
    old.start()
    sent = [old.post(lead(1)).json()["id"]]
    assert until(lambda: old.delivered() == sent, seconds=20)
    new = servers(newer_program(compatible=False))
    new.start()
    # What runs takes no part any more: a load balancer leaves its receivers out, and its worker stops.
    assert until(lambda: not old.answers("/readyz"), seconds=5)
    assert until(lambda: old.events("worker.outdated"), seconds=15)
    sent.append(new.post(lead(2)).json()["id"])
    assert until(lambda: new.delivered() == sent, seconds=20)
    # What is started says why it does not run.
    said = servers().command("work")
    assert said.returncode == 1
    assert f"its schema is {NEWER}, of a newer program" in said.stderr
    assert f"this one knows up to {SCHEMA_VERSION}: upgrade it" in said.stderr
