"""The schema: made once, by whoever comes first, and the same as the tables in the code."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.store import StoreUnavailable, engine
from app.store.counts import Counts
from app.store.tables import meta, metadata
from app.store.views import Views
from tests.parts.arrivals import NOW, id_of, in_processes, migrate, together


def test_migrating_an_empty_database_makes_every_table(empty_url, opened):
    store = opened(empty_url)
    store.migrate()
    with store.read() as connection:
        assert {*metadata.tables, "alembic_version"} == set(sa.inspect(connection).get_table_names())


def test_migrating_again_changes_and_locks_nothing(empty_url, opened):
    first = opened(empty_url)
    first.migrate()
    first.migrate()
    statements = []
    again = opened(empty_url)
    sa.event.listen(again.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with first.write():  # whoever migrates for real waits for a lock here
        again.migrate()
    assert not [one for one in statements if not one.lstrip().startswith(("SELECT", "PRAGMA", "BEGIN"))]


def test_processes_that_start_together_make_one_schema_and_one_salt(empty_url, opened):
    salts = in_processes(6, migrate, empty_url)
    assert len(set(salts)) == 1
    with opened(empty_url).read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_stores_in_threads_that_start_together_make_one_schema_and_one_salt(empty_url):
    assert len(set(together(6, migrate, empty_url, 0))) == 1


def test_a_schema_of_a_newer_program_is_left_alone_and_said_so(store):
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.execute(meta.delete().where(meta.c.name == "compatible_from"))
    try:
        with pytest.raises(StoreUnavailable, match=r"9999.*newer"):
            store.migrate()
    finally:
        with store.write() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{engine.SCHEMA_VERSION}'")  # noqa: S608  (our own constant)


def test_the_migrated_schema_is_the_one_in_the_code(empty_url, opened):
    store = opened(empty_url)
    store.migrate()
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_indexes_have_the_conditions_that_the_code_asks_for(store, database):
    """Alembic doesn't compare them, and a query finds a partial index only word for word."""
    with store.read() as connection:
        for table in metadata.tables.values():
            made = {index["name"]: index for index in sa.inspect(connection).get_indexes(table.name)}
            for index in table.indexes:
                wanted = index.dialect_options[database].get("where")
                found = made[index.name]["dialect_options"].get(f"{database}_where")
                assert _words(wanted) == _words(found), index.name


def _words(condition):
    """The words of a condition, without those that PostgreSQL puts in when it says IN in its own way."""
    words = re.findall(r"\w+", str(condition if condition is not None else ""))
    return [word for word in words if word not in {"IN", "ANY", "ARRAY", "character", "varying", "text"}]


def test_the_schema_version_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", "app/store/migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [engine.SCHEMA_VERSION]


def test_what_came_in_under_the_first_schema_is_counted_and_found_after_the_second(empty_url, opened):
    store = opened(empty_url)
    with store.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(engine.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        config.attributes["metadata"] = metadata
        command.upgrade(config, "0001")
        for number in range(3):
            connection.execute(
                sa.text(
                    "INSERT INTO receipts (id, received_at, source, status, test)"
                    " VALUES (:id, :at, 'marketplace', 'accepted', :test)"
                ),
                {"id": id_of(number), "at": NOW, "test": number == 0},
            )
            connection.execute(
                sa.text(
                    "INSERT INTO deliveries (receipt_id, destination, state, due_at, updated_at)"
                    " VALUES (:id, 'table', :state, :at, :at)"
                ),
                {"id": id_of(number), "at": NOW, "state": "due" if number else "sent"},
            )
        connection.execute(
            sa.text("INSERT INTO audit (at, actor, action, target, why) VALUES (:at, 'cli:x', 'replay', :target, '')"),
            {"at": NOW, "target": f"{id_of(1)} table"},
        )
    store.migrate()
    counts = Counts(store)
    assert {(row.status, row.test): row.number for row in counts.since([0])} == {
        ("accepted", True): 1,
        ("accepted", False): 2,
    }
    lane = counts.lanes()["table"]
    assert (lane.sent, lane.last_sent_at) == (1, NOW)
    assert [row["action"] for row in Views(store).audit(before=None, limit=10, target=id_of(1))] == ["replay"]
