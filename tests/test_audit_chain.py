"""The audit proves itself: whatever is changed, removed, added or put back is noticed, and where."""

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from app.cli import Context
from app.store import auditing
from app.store.acts import Acts
from app.store.auditing import HEAD, Who, audited, verify
from app.store.copying import Copy
from app.store.tables import audit, meta
from tests.parts.arrivals import NOW, SOMEONE, arrival, id_of, in_processes, keep, rows
from tests.parts.commands import commands
from tests.test_faces import begin  # noqa: F401  (a fixture)


@pytest.fixture
def acts(store):
    return Acts(store)


def did(store, *targets, action="reveal"):
    """Note an act a target, each in a transaction of its own."""
    for one in targets:
        Acts(store).record(action, one, now=NOW, who=SOMEONE)


def change(store, statement):
    """Do what somebody with the database's password can."""
    with store.write() as connection:
        connection.execute(statement)


def fault(store, **more):
    """Give the fault that is found, and the target of the entry."""
    found = verify(store, **more)
    if found.entry is None:
        return found.fault, None
    (row,) = rows(store, audit, audit.c.id == found.entry["id"])
    return found.fault, row["target"]


def head_value(store):
    (row,) = rows(store, meta, meta.c.name == HEAD)
    return row["value"]


def test_an_audit_with_nothing_in_it_holds(store):
    assert verify(store) == (0, f"0:{'0' * 64}", None, None)


def test_what_was_done_holds_and_each_act_moves_the_head(store):
    heads = []
    for number in range(1, 4):
        did(store, f"lead-{number}")
        found = verify(store)
        assert (found.entries, found.fault) == (number, None)
        heads.append(found.head)
    assert len(set(heads)) == 3
    assert auditing.head(store) == heads[-1]
    assert all(verify(store, kept=one).fault is None for one in heads)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", NOW + 1),
        ("actor", "somebody else"),
        ("action", "show"),
        ("target", "lead-9"),
        ("why", "asked nicely"),
        ("subject", "lead-9"),
        ("number", 3),
        ("hash", bytes(32)),
    ],
)
def test_a_changed_entry_is_named(store, column, value):
    did(store, "lead-1", "lead-2", "lead-3")
    second = audit.update().where(audit.c.target == "lead-2")
    change(store, second.values({column: value}))
    found = verify(store)
    assert found.entries == 1
    assert found.entry["id"] == 2
    assert found.fault is not None


def test_a_letter_that_moves_from_one_column_to_the_next_is_a_change(store):
    did(store, "lead-1")
    change(store, audit.update().values(action="reveall", target="ead-1"))
    assert fault(store)[0] == "was changed, or the one before it was"


def test_a_removed_entry_is_missed_where_it_was(store):
    did(store, *(f"lead-{number}" for number in range(1, 6)))
    change(store, audit.delete().where(audit.c.target.in_(["lead-2", "lead-3"])))
    assert fault(store) == ("does not follow: 2 entries are missing before it", "lead-4")


def test_the_first_entries_are_missed(store):
    did(store, "lead-1", "lead-2")
    change(store, audit.delete().where(audit.c.target == "lead-1"))
    assert fault(store) == ("does not follow: 1 entry is missing before it", "lead-2")


def test_a_cut_off_end_is_missed(store):
    did(store, "lead-1", "lead-2", "lead-3")
    change(store, audit.delete().where(audit.c.target != "lead-1"))
    assert fault(store) == ("2 entries are missing at the end", None)
    did(store, "lead-4")  # what is done afterwards does not hide it
    assert fault(store) == ("does not follow: 2 entries are missing before it", "lead-4")


def test_an_emptied_audit_is_missed(store):
    did(store, "lead-1", "lead-2")
    change(store, audit.delete())
    assert fault(store) == ("2 entries are missing at the end", None)


def test_a_head_cannot_be_made_up_from_an_entry(store):
    did(store, "lead-1", "lead-2")
    first = rows(store, audit)[0]
    change(store, audit.delete().where(audit.c.target == "lead-2"))
    made_up = (1).to_bytes(8, "big") + first["hash"] + first["hash"]
    change(store, meta.update().where(meta.c.name == HEAD).values(value=made_up))
    assert fault(store) == ("the head of the audit was changed or removed: entries may be missing at the end", None)


@pytest.mark.parametrize("value", [None, b"", b"x"])
def test_a_head_that_is_gone_is_noticed_also_after_the_next_act(store, value):
    did(store, "lead-1", "lead-2", "lead-3")
    change(store, audit.delete().where(audit.c.target == "lead-3"))
    mine = meta.c.name == HEAD
    change(store, meta.delete().where(mine) if value is None else meta.update().where(mine).values(value=value))
    if value != b"":
        assert fault(store)[0].startswith("the head of the audit was changed")
    did(store, "lead-4")
    assert fault(store) == ("was changed, or the one before it was", "lead-4")


@pytest.mark.parametrize("column", ["at", "number", "hash"])
def test_an_entry_whose_values_have_become_texts_is_named(sqlite_url, opened, column):
    store = opened(sqlite_url)
    did(store, "lead-1", "lead-2")
    untyped = sa.table("audit", sa.column(column), sa.column("target"))
    change(store, untyped.update().where(untyped.c.target == "lead-2").values({column: "x"}))
    assert fault(store)[1] == "lead-2"


def test_a_head_that_was_put_back_does_not_fit_what_came_after(store):
    did(store, "lead-1")
    earlier = head_value(store)
    did(store, "lead-2")
    change(store, meta.update().where(meta.c.name == HEAD).values(value=earlier))
    assert fault(store) == ("the head of the audit was put back to an earlier one", None)


def test_an_entry_that_somebody_adds_is_named(store):
    did(store, "lead-1")
    change(store, audit.insert().values(at=NOW, actor="x", action="erase", target="lead-2", why=""))
    assert fault(store) == ("is not chained: it was not written by this version of Leadwire", "lead-2")
    did(store, "lead-3")
    assert fault(store)[1] == "lead-2"


def test_two_entries_that_change_places_are_noticed(store):
    did(store, "lead-1", "lead-2")
    first, second = rows(store, audit)
    for row, other in ((first, second), (second, first)):
        change(store, audit.update().where(audit.c.id == row["id"]).values(target=other["target"]))
    assert fault(store)[0] == "was changed, or the one before it was"


def test_a_store_that_was_put_back_as_a_whole_shows_against_a_head_that_was_kept(store):
    did(store, "lead-1")
    before = rows(store, audit), head_value(store)
    did(store, "lead-2")
    kept = verify(store).head
    change(store, audit.delete())
    change(store, audit.insert().values(before[0]))
    change(store, meta.update().where(meta.c.name == HEAD).values(value=before[1]))
    assert verify(store).fault is None
    assert fault(store, kept=kept) == ("1 entry is missing at the end, by the head that was kept", None)
    with audited(store) as (_, note):
        note("reveal", "lead-3", now=NOW, who=SOMEONE)
    assert verify(store).fault is None
    assert fault(store, kept=kept)[1] == "lead-3"


@pytest.mark.parametrize(
    "text", ["", "x", "1", "1:", "1:zz", f"-1:{'0' * 64}", f"1:{'z' * 64}", f"{'9' * 30}:{'0' * 64}"]
)
def test_what_is_no_head_is_said_so(store, text):
    with pytest.raises(ValueError, match="A head is"):
        verify(store, kept=text)


def test_a_chain_does_not_hold_in_a_store_with_another_key(store, opened, tmp_path):
    did(store, "lead-1")
    other = opened(f"sqlite:///{tmp_path}/other/leadwire.db")
    other.migrate()
    with other.write() as connection:
        connection.execute(audit.insert(), rows(store, audit))
        connection.execute(meta.insert().values(name=HEAD, value=head_value(store)))
    assert fault(other) == ("was changed, or the one before it was", "lead-1")


def test_what_an_earlier_version_wrote_is_chained_by_the_next_act(store):
    with store.write() as connection:
        old = {"at": NOW, "actor": "cli:x", "action": "replay", "why": "", "subject": "lead"}
        connection.execute(audit.insert(), [{**old, "target": f"lead {number}"} for number in range(2500)])
    assert fault(store) == ("is not chained yet: an earlier version wrote it, and the next act chains it", "lead 0")
    did(store, "lead-1", "lead-2")
    assert (verify(store).entries, verify(store).fault) == (2502, None)
    change(store, audit.update().where(audit.c.target == "lead 1234").values(actor="y"))
    assert fault(store) == ("was changed, or the one before it was", "lead 1234")


def test_what_is_undone_leaves_neither_entry_nor_gap(store):
    did(store, "lead-1")
    with pytest.raises(sa.exc.IntegrityError):
        Acts(store).record("reveal", "lead-2", now=NOW, who=Who(None))
    did(store, "lead-3")
    assert (verify(store).entries, verify(store).fault) == (2, None)


def test_the_chain_does_not_fork_when_several_hosts_act_at_once(store_url, opened):
    in_processes(4, many_acts, store_url)
    store = opened(store_url)
    found = verify(store)
    assert (found.entries, found.fault) == (4 * 25 * 2, None)
    assert [row["number"] for row in rows(store, audit)] == list(range(1, 201))


def many_acts(url, number):
    """In a process of its own: act again and again."""
    from app.store import open_store

    store = open_store(url)
    for turn in range(25):
        with audited(store) as (_, note):
            note("reveal", f"a {number} {turn}", f"b {number} {turn}", now=NOW, who=SOMEONE)
    store.close()


def test_the_keys_of_a_fresh_store_are_made_before_the_transaction(sqlite_url, opened):
    store = opened(sqlite_url)
    did(store, "lead-1")  # inside it they could not be
    assert verify(store).fault is None


def test_a_key_renewal_leaves_the_chain_as_it_is(store):
    from app.store.resealing import renew

    did(store, "lead-1")
    renew(store, now=NOW, who=SOMEONE)
    did(store, "lead-2")
    assert (verify(store).entries, verify(store).fault) == (3, None)


def test_a_copied_store_has_the_same_chain_and_goes_on_with_it(sqlite_url, postgres_server, opened):
    source = opened(sqlite_url)
    keep(source, arrival())
    did(source, id_of(1), "lead-2")
    url = postgres_server.create()
    try:
        target = opened(url)
        copy = Copy(source, target, now=lambda: datetime.fromtimestamp(NOW / 1000, UTC))
        copy.prepare()
        copy.run(lambda _: None)
        copy.prove(lambda _: None)
        copy.move()
        copy.open()
        target = opened(f"{url}")
        target._keyring = source._keyring
        assert verify(target) == verify(source)
        did(target, "lead-3")
        assert (verify(target).entries, verify(target).fault) == (3, None)
    finally:
        postgres_server.drop(url)


# What people see of it


def test_every_face_says_the_same_of_an_audit_that_holds_and_of_one_that_does_not(begin):  # noqa: F811
    here = begin()
    assert here.command("audit", "verify") == (0, {**here.api("GET", "/audit/verification")[1]})
    page = here._operator.get("/console/audit/verification")
    sound = here.command("audit", "verify")[1]  # with the sign-in
    assert "Yes" in page.words
    assert sound["head"] in page.source
    assert (sound["ok"], sound["fault"], sound["entry"]) == (True, None, None)
    assert here.command("audit", "verify", "--head", sound["head"])[0] == 0
    change(here.store, audit.update().where(audit.c.id == 1).values(why="changed"))
    status, found = here.command("audit", "verify")
    assert (status, found["ok"], found["entry"]["id"], found["entries"]) == (1, False, 1, 0)
    assert here.api("GET", "/audit/verification")[1] == found
    assert found["fault"] in here._operator.get("/console/audit/verification").words


def test_a_wrong_head_is_refused_by_every_face(begin):  # noqa: F811
    here = begin()
    status, said = here.command("audit", "verify", "--head", "nonsense")
    assert (status, said["ok"]) == (1, False)
    assert "A head is a number" in json.dumps(said)
    assert here.api("GET", "/audit/verification?head=nonsense")[0] == 422
    assert "A head is a number" in here._operator.get("/console/audit/verification?head=nonsense").words


def test_the_command_says_it_in_words(begin):  # noqa: F811
    here = begin()
    context = Context(None)
    context.wiring = here.wiring
    done = CliRunner().invoke(commands()["audit"], ["verify"], obj=context)
    assert (done.exit_code, done.stdout.split(". Head: ")[0]) == (0, "2 entries, as they were written")
    change(here.store, sa.delete(audit).where(audit.c.id == 2))
    done = CliRunner().invoke(commands()["audit"], ["verify"], obj=context)
    assert (done.exit_code, done.stdout) == (
        1,
        "After 1 entries: 1 entry is missing at the end. Up to there 1 hold.\n",
    )


def test_listing_goes_on_as_before(begin):  # noqa: F811
    here = begin()
    assert [one["action"] for one in here.command("audit", "--limit", "1")[1]] == ["token-made"]
