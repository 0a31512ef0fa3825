"""Sorting in: everything that was answered becomes what it is to be, once, and one bad row keeps back nobody."""

import re

import pytest

from app.lead import Lead
from app.store import StoreUnavailable
from app.store.desk import arrivals as arrivals_table
from app.store.searching import Filter
from app.store.sorting import GROUP, Sorter
from app.store.tables import deliveries, duplicate_keys, quarantine, receipts
from app.store.tables import inbox as inbox_table
from app.store.views import Views
from tests.parts.arrivals import (
    NOW,
    SOMEONE,
    arrival,
    id_of,
    inbox,
    keep,
    lead_of,
    read_only,
    result,
    rows,
    settle,
    together,
    unreadable,
)
from tests.parts.desk import KEY, PASSWORD, Desk


def kept(store, *arrivals):
    """Keep without sorting in."""
    door = inbox(store)
    assert all(one.failure is None for one in door.keep([door.letter(one) for one in arrivals]))


def counted(store):
    return sum(row["number"] for row in rows(store, arrivals_table))


def spoil(store, number, arrival_=b"\xc1"):
    with store.write() as connection:
        connection.execute(inbox_table.insert().values(id=id_of(number), arrival=arrival_))


def test_what_was_kept_becomes_receipts_deliveries_quarantine_and_counts(store):
    kept(store, arrival(1, to=("mail", "table"), duplicate_key=b"k" * 16), unreadable(2))
    Sorter(store).finish()
    assert [row["status"] for row in rows(store, receipts)] == ["accepted", "quarantined"]
    assert [(row["destination"], row["state"]) for row in rows(store, deliveries)] == [
        ("mail", "due"),
        ("table", "due"),
    ]
    assert len(rows(store, quarantine)) == len(rows(store, duplicate_keys)) == 1
    assert counted(store) == 2
    assert rows(store, inbox_table) == []


def test_more_than_one_transactions_worth_is_sorted_in_the_order_it_came(store):
    number = 2 * GROUP + 3
    kept(store, *(arrival(one) for one in range(1, number + 1)))
    sorter = Sorter(store)
    assert [sorter.sort() for _ in range(4)] == [GROUP, GROUP, 3, 0]
    assert len(rows(store, receipts)) == number


def test_a_row_that_nobody_can_read_is_left_aside_and_the_others_are_sorted(store, capfd):
    kept(store, arrival(1), arrival(3))
    spoil(store, 2)
    sorter = Sorter(store)
    sorter.finish()
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1), id_of(3)]
    assert [row["id"] for row in rows(store, inbox_table)] == [id_of(2)]
    assert id_of(2) in "".join(capfd.readouterr())
    kept(store, arrival(4))
    sorter.finish()
    assert len(rows(store, receipts)) == 3


def test_more_unreadable_rows_than_a_transaction_takes_keep_back_nobody(store):
    for number in range(GROUP + 3):
        spoil(store, number)
    kept(store, arrival(1000))
    Sorter(store).finish()
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1000)]
    assert len(rows(store, inbox_table)) == GROUP + 3


def test_a_row_that_is_sorted_in_already_is_counted_once(store):
    kept(store, arrival(1))
    row = rows(store, inbox_table)[0]
    Sorter(store).finish()
    with store.write() as connection:
        connection.execute(inbox_table.insert().values(**row))
    Sorter(store).finish()
    assert counted(store) == len(rows(store, receipts)) == len(rows(store, deliveries)) == 1
    assert rows(store, inbox_table) == []


def test_an_offer_of_any_length_is_sorted_in_and_found_by_its_beginning(store):
    title = "".join(map(chr, range(0x20000, 0x22000)))  # no two characters alike: nothing to compress
    kept(store, arrival(1, lead=Lead(last_name="One", offer_title=title)), arrival(2))
    Sorter(store).finish()
    assert len(rows(store, receipts)) == 2
    found = Views(store).leads(Filter(offer=f"{title[:100]}*"))
    assert [one["id"] for one in found] == [id_of(1)]
    assert Views(store).show(id_of(1))["lead"]["offer_title"] == title


def test_many_who_sort_at_once_sort_each_row_once(store):
    kept(store, *(arrival(one, to=("mail", "table")) for one in range(1, 201)))
    together(4, lambda: Sorter(store).finish())
    Sorter(store).finish()
    assert counted(store) == len(rows(store, receipts)) == 200
    assert len(rows(store, deliveries)) == 400


def test_who_looks_while_the_store_cannot_be_written_sees_it_as_it_is(store, capfd):
    keep(store, arrival(1))
    kept(store, arrival(2))
    sorter = Sorter(store)
    with read_only(store):
        sorter.catch_up()
        assert [row["id"] for row in rows(store, receipts)] == [id_of(1)]
        with pytest.raises(StoreUnavailable):
            sorter.finish()
    assert re.search("read-?only", "".join(capfd.readouterr()))
    sorter.catch_up()
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1), id_of(2)]


def test_a_lead_that_is_sorted_again_after_it_was_sent_stays_sent(store):
    kept(store, arrival(1))
    (row,) = rows(store, inbox_table)
    Sorter(store).finish()
    settle(store, result)
    with store.write() as connection:
        connection.execute(inbox_table.insert().values(**row))
    Sorter(store).finish()
    assert [row["state"] for row in rows(store, deliveries)] == ["sent"]


def test_who_looks_who_searches_and_who_forgets_a_person_sees_what_is_not_sorted_in_yet(desk_on):
    store, operations = desk_on.store, desk_on.operations
    person, other = Lead(email="someone@contoso.com"), Lead(email="else@contoso.com")
    kept(store, lead_of(store, 1, person))
    assert [one["id"] for one in operations.leads(Filter())] == [id_of(1)]
    kept(store, lead_of(store, 2, other))
    assert operations.show(id_of(2))["status"] == "accepted"
    kept(store, lead_of(store, 3, person, at=NOW + 1))
    mark = operations.person_mark("Someone@contoso.com")
    assert [one["id"] for one in operations.leads(Filter(person=mark))] == [id_of(3), id_of(1)]
    kept(store, lead_of(store, 4, person, at=NOW + 2))
    found = operations.find_person("someone@contoso.com")
    assert sorted(found) == [id_of(1), id_of(3), id_of(4)]
    operations.erase(found, who=SOMEONE)
    left = {row["id"]: row["lead"] for row in rows(store, receipts)}
    assert [id_ for id_, lead in left.items() if lead and "@contoso.com" in lead] == [id_of(2)]


@pytest.fixture
def desk_on(store_url, tmp_path, monkeypatch):
    """A console's operations, once on each database."""
    monkeypatch.setenv("DESK_PASSWORD", PASSWORD)
    monkeypatch.setenv("DESK_KEY", KEY)
    made = Desk(tmp_path, store_url)
    yield made
    made.store.close()
