"""Taking in: kept before it is answered, once however often it comes, and nobody suffers for a neighbour."""

from collections import Counter

import pytest
import sqlalchemy as sa

from app.lead import Lead
from app.store.arrival import Letter, letter, person_key
from app.store.inbox import Kept, receipt
from app.store.sorting import Sorter
from app.store.tables import Status, deliveries, duplicate_keys, quarantine, receipts
from app.store.tables import inbox as inbox_table
from tests.parts.arrivals import (
    DAY,
    NOW,
    arrival,
    id_of,
    in_processes,
    inbox,
    keep,
    outbox,
    put_crowd,
    rows,
    together,
    unreadable,
)

KEY = b"k" * 16


def same(number=1, **more):
    return arrival(number, **{"duplicate_key": KEY, **more})


@pytest.fixture
def group(store):
    """Keep arrivals (or letters of such) as one group, then sort them in: a receipt of each, or why there is none."""

    def put(*arrivals):
        letters = [one if isinstance(one, Letter) else letter(one, store) for one in arrivals]
        found = inbox(store).keep(letters)
        Sorter(store).finish()
        return [kept.failure or receipt(one, kept.first) for one, kept in zip(arrivals, found, strict=True)]

    return put


# On disk before it is answered


def test_what_was_answered_is_there_for_every_other_connection(store, store_url, opened):
    other = opened(store_url)
    receipt = inbox(store).put(arrival(to=["table", "mail"]))
    assert (receipt.id, receipt.status) == (id_of(1), Status.ACCEPTED)
    kept = rows(other, receipts)[0]
    assert (kept["id"], kept["received_at"], kept["source"], kept["test"]) == (id_of(1), NOW, "marketplace", False)
    assert '"email":"someone@contoso.com"' in kept["lead"]
    owed = [
        (row["destination"], row["state"], row["due_at"], row["tries"], row["claims"])
        for row in rows(other, deliveries)
    ]
    assert owed == [("mail", "due", NOW, 0, 0), ("table", "due", NOW, 0, 0)]


def test_an_unreadable_body_is_kept_as_it_came(store):
    assert keep(store, unreadable(body=b"\xff\x00{"))[0].status == Status.QUARANTINED
    assert bytes(rows(store, quarantine)[0]["body"]) == b"\xff\x00{"
    assert not rows(store, deliveries)


def test_a_lead_for_nobody_is_kept_too(store):
    assert keep(store, arrival(to=()))[0].status == Status.ACCEPTED
    assert len(rows(store, receipts)) == 1


def test_arrivals_that_come_together_are_committed_together(store):
    letters, commits = [letter(arrival(number), store) for number in range(1, 21)], []
    sa.event.listen(store.engine, "commit", commits.append)
    kept = inbox(store).keep(letters)
    assert len(commits) == 1
    assert kept == [Kept()] * 20
    Sorter(store).finish()
    assert len(rows(store, receipts)) == 20


# Once


def _one_first(answers):
    """That one of identical leads was accepted and all others were told its id."""
    assert Counter(status for _, status in answers) == {"accepted": 1, "duplicate": len(answers) - 1}
    assert len({id_ for id_, _ in answers}) == 1


def test_of_a_hundred_identical_leads_from_sixteen_threads_one_is_accepted(store):
    door = inbox(store)
    numbers = iter(range(1, 101))
    answers = together(16, lambda: [door.put(same(number, to=["table", "mail"])) for number in numbers_of(numbers)])
    _one_first([(receipt.id, str(receipt.status)) for some in answers for receipt in some])
    assert len(rows(store, receipts)) == 100
    assert [row["destination"] for row in rows(store, deliveries)] == ["mail", "table"]


def numbers_of(numbers):
    """Take numbers until none are left; one iterator serves many threads."""
    while (number := next(numbers, None)) is not None:
        yield number


def test_of_a_hundred_identical_leads_from_four_processes_one_is_accepted(store, store_url):
    answers = [answer for some in in_processes(4, put_crowd, store_url) for answer in some]
    assert len(answers) == 100
    _one_first(answers)
    Sorter(store).finish()
    assert len(rows(store, receipts)) == 100
    assert len(rows(store, deliveries)) == 1


def test_a_duplicate_keeps_nothing_personal_and_names_the_first(store):
    keep(store, same(1, person=b"p" * 16), same(2, person=b"p" * 16))
    second = rows(store, receipts)[1]
    assert (second["status"], second["duplicate_of"]) == ("duplicate", id_of(1))
    assert (second["lead"], second["person"]) == (None, None)


def test_the_same_lead_after_the_window_is_accepted_anew_and_opens_a_new_one(store):
    times = [NOW, NOW + DAY - 1, NOW + DAY, NOW + DAY + 5, NOW + 2 * DAY]
    receipts_ = keep(store, *(same(number, at=at) for number, at in enumerate(times, 1)))
    assert [receipt.status for receipt in receipts_] == ["accepted", "duplicate", "accepted", "duplicate", "accepted"]
    assert receipts_[3].id == id_of(3)
    assert len(rows(store, duplicate_keys)) == 1


def test_a_clock_that_went_back_does_not_make_a_duplicate_new(store):
    assert [one.status for one in keep(store, same(1), same(2, at=NOW - DAY))] == ["accepted", "duplicate"]


def test_different_leads_that_come_together_are_both_accepted(group):
    assert [one.status for one in group(same(1), same(2, duplicate_key=b"l" * 16))] == ["accepted", "accepted"]


def test_the_same_lead_twice_in_one_group_is_accepted_once(group):
    answers = group(same(1), arrival(2), same(3), same(4))
    assert [one.status for one in answers] == ["accepted", "accepted", "duplicate", "duplicate"]
    assert {answers[0].id, answers[2].id, answers[3].id} == {id_of(1)}


def test_a_lead_without_a_key_is_never_a_duplicate(store):
    """Test leads, and every lead where duplicates are not looked for."""
    leads = [arrival(number, test=True) for number in (1, 2)]
    assert [one.status for one in keep(store, *leads)] == ["accepted", "accepted"]
    assert inbox(store, window=0).duplicate_key(Lead(email="someone@contoso.com"), source="marketplace") is None


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        (Lead(email="someone@contoso.com"), Lead(email="SomeOne@Contoso.com"), True),
        (Lead(last_name="Ärger"), Lead(last_name="ÄRGER"), True),
        (Lead(last_name="One", extra={"a": 1, "b": 2}), Lead(last_name="One", extra={"b": 2, "a": 1}), True),
        (Lead(last_name="One", offer_title="First"), Lead(last_name="One", offer_title="Second"), False),
    ],
)
def test_leads_are_the_same_when_all_they_say_is(sqlite_url, opened, first, second, alike):
    door = inbox(opened(sqlite_url))
    keys = [door.duplicate_key(one, source="marketplace") for one in (first, second)]
    assert (keys[0] == keys[1]) is alike
    assert keys[0] != door.duplicate_key(first, source="other")


def test_an_address_is_found_whatever_its_letter_case(store):
    assert person_key(store, "Someone@Contoso.com ") == person_key(store, "someone@contoso.COM")
    assert person_key(store, "someone@contoso.com") != person_key(store, "someone.else@contoso.com")
    assert person_key(store, None) is None


# The answer of a commit may be lost


@pytest.mark.parametrize("lead", [same(1, to=["table", "mail"]), unreadable(1)], ids=["lead", "unreadable"])
def test_the_same_arrival_again_is_no_duplicate_of_itself_and_owes_nothing_twice(store, lead):
    first, again = keep(store, lead, lead)
    assert again == first
    assert again.status == lead.status
    assert len(rows(store, receipts)) == 1
    assert len(rows(store, deliveries)) == len(lead.destinations)


def test_the_same_arrival_again_does_not_send_it_again(store):
    keep(store, same(1))
    outbox(store).claim("table", limit=1, now=NOW)
    assert keep(store, same(1))[0].status == Status.ACCEPTED
    assert [row["state"] for row in rows(store, deliveries)] == ["sending"]


def test_a_commit_whose_answer_was_lost_is_answered_as_if_it_had_not_been(postgres_url, opened, postgres_server):
    """The server commits and breaks the connection before it says so."""
    store = opened(postgres_url)
    store.salt()
    lost = []

    @sa.event.listens_for(store.engine, "commit")
    def break_after(connection):
        if not lost:
            lost.append(connection.connection.driver_connection)
            lost[0].execute("COMMIT")
            lost[0].execute("BEGIN")  # so that the driver still believes in something to commit
            postgres_server.kick(postgres_url)

    assert keep(store, same(1))[0].status == Status.ACCEPTED
    assert len(lost) == 1
    assert len(rows(store, receipts)) == len(rows(store, deliveries)) == 1


# Neighbours


def _bad(number):
    """A letter that neither database can write: half a character."""
    return Letter(f"secret {number} \ud800", NOW, None, b"")


def test_an_arrival_that_cannot_be_written_fails_alone(store, group):
    answers = group(arrival(1), _bad(2), same(3), same(4))
    assert [getattr(one, "status", None) for one in answers] == ["accepted", None, "accepted", "duplicate"]
    assert answers[1] == f"{store.name}: UnicodeEncodeError"
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1), id_of(3), id_of(4)]


@pytest.mark.parametrize(
    "more", ["\0", "".join(map(chr, range(0x20000, 0x22000)))], ids=["NUL", "more than an index holds"]
)
def test_what_postgresql_cannot_hold_keeps_back_nobody_and_is_told_nobody(postgres_url, opened, capfd, more):
    store = opened(postgres_url)
    keep(store, arrival(1, source=f"secret{more}"), arrival(2))
    assert [row["id"] for row in rows(store, receipts)] == [id_of(2)]
    said = "".join(capfd.readouterr())
    assert id_of(1) in said
    assert "secret" not in said


def test_after_a_failure_the_next_is_kept(store):
    door = inbox(store)
    kept = *door.keep([_bad(1)]), *door.keep([letter(arrival(2), store)])
    assert [one.failure is None for one in kept] == [False, True]


def test_a_host_that_is_cut_off_with_the_same_lead_in_hand_holds_up_no_other_lead(postgres_url, opened):
    store, away = opened(postgres_url), opened(postgres_url)
    with away.write() as connection:
        connection.execute(inbox_table.insert().values(id=id_of(9), key=KEY, arrival=b"never committed"))
        first, second = inbox(store).keep([letter(same(1), store), letter(arrival(2), store)])
        assert "lock timeout" in first.failure
        assert second == Kept()
        connection.rollback()
    assert inbox(store).keep([letter(same(1), store)]) == [Kept()]
