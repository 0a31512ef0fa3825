"""The committer and its receivers: each gets its own answer, whoever dies, and nobody else is let in."""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from app.store import StoreUnavailable
from app.store.committer import AVAILABLE, Committer
from app.store.handover import Handover
from app.store.sorting import Sorter
from app.store.tables import Status, receipts
from app.store.tables import inbox as inbox_table
from tests.parts.arrivals import DAY, NOW, arrival, id_of, inbox, read_only, rows

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="abstract sockets are Linux's")
KEY = b"k" * 16
OURS = f"leadwire-test-{os.getpid()}"  # names of sockets are the whole machine's, and so are its test processes


@pytest.fixture
def committer(store):
    made = Committer(inbox(store))
    made.start()
    return made


def ask(address, door, *arrivals, patience=None):
    """Hand over at the same moment, as one receiver; gives receipts, or what went wrong."""

    async def all_of_them():
        handover = Handover(address, door)
        if patience is not None:
            handover.patience = patience
        try:
            return await asyncio.gather(*(handover.put(one) for one in arrivals), return_exceptions=True)
        finally:
            handover.close()
            await asyncio.sleep(0)

    return asyncio.run(all_of_them())


def spoken(address, message):
    """Say something to the committer that no receiver would; gives its answer until it ends."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(10)
        peer.connect(f"\0{address}")
        peer.sendall(message)
        return peer.recv(100)


def waiting(store):
    return [row["id"] for row in rows(store, inbox_table)]


def test_each_of_many_that_come_together_gets_its_own_answer(store, committer):
    answers = ask(committer.address, inbox(store), *(arrival(number) for number in range(1, 501)))
    assert [(one.id, one.status) for one in answers] == [(id_of(n), Status.ACCEPTED) for n in range(1, 501)]
    assert waiting(store) == [id_of(number) for number in range(1, 501)]


def test_receivers_that_hand_over_at_once_get_each_their_own_answers(store, committer):
    """Of each lead two receivers have one: one of the two is told that it came first."""
    number, door = 50, inbox(store)

    def receiver(which):
        mine = (arrival(which * 1000 + one, duplicate_key=b"%016d" % one) for one in range(number))
        return ask(committer.address, door, *mine)

    with ThreadPoolExecutor(2) as pool:
        here, there = pool.map(receiver, (1, 2))
    for one, (mine, other) in enumerate(zip(here, there, strict=True)):
        assert sorted([mine.status, other.status]) == [Status.ACCEPTED, Status.DUPLICATE]
        assert mine.id == other.id == id_of((1000 if mine.status is Status.ACCEPTED else 2000) + one)
    assert len(waiting(store)) == 2 * number


def test_a_letter_that_cannot_be_written_fails_alone(store, committer):
    answers = ask(committer.address, inbox(store), arrival(1), arrival(2, id="half \ud800"), arrival(3))
    assert [getattr(one, "status", None) for one in answers] == ["accepted", None, "accepted"]


def test_the_same_lead_twice_at_the_same_moment_is_accepted_once(store, committer):
    pair = arrival(1, duplicate_key=KEY), arrival(2, duplicate_key=KEY)
    answers = ask(committer.address, inbox(store), *pair)
    assert [(one.id, one.status) for one in answers] == [(id_of(1), "accepted"), (id_of(1), "duplicate")]


def test_the_same_lead_again_is_known_before_and_after_it_is_sorted_in(store, committer):
    first = ask(committer.address, inbox(store), arrival(1, duplicate_key=KEY))
    second = ask(committer.address, inbox(store), arrival(2, duplicate_key=KEY))
    Sorter(store).finish()
    third = ask(committer.address, inbox(store), arrival(3, duplicate_key=KEY))
    assert [one.status for one in first + second + third] == ["accepted", "duplicate", "duplicate"]
    assert {one.id for one in first + second + third} == {id_of(1)}
    Sorter(store).finish()
    assert [row["status"] for row in rows(store, receipts)] == ["accepted", "duplicate", "duplicate"]


def test_an_unsorted_lead_of_before_the_window_makes_nobody_a_duplicate(store, committer):
    old = ask(committer.address, inbox(store), arrival(1, at=NOW - DAY, duplicate_key=KEY))
    new = ask(committer.address, inbox(store), arrival(2, duplicate_key=KEY))
    again = ask(committer.address, inbox(store), arrival(3, duplicate_key=KEY))
    assert [one.status for one in old + new + again] == ["accepted", "accepted", "duplicate"]
    assert again[0].id == id_of(2)


def test_a_commit_that_is_tried_again_keeps_a_lead_once(store):
    door, letters = inbox(store), [inbox(store).letter(arrival(1, duplicate_key=KEY))]
    assert door.keep(letters) == door.keep(letters)
    Sorter(store).finish()
    assert door.keep(letters)[0].first is None
    Sorter(store).finish()
    assert [row["status"] for row in rows(store, receipts)] == ["accepted"]


@pytest.mark.parametrize("address", [None, "nobody-is-there"])
def test_without_a_committer_a_receiver_keeps_its_leads_by_itself(store, address):
    (answer,) = ask(address, inbox(store), arrival(1))
    assert answer.status == Status.ACCEPTED
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1)]


def test_a_committer_that_dies_before_it_answers_costs_no_lead(store):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{OURS}-dies")
        listener.listen()

        async def put():
            handover = Handover(f"{OURS}-dies", inbox(store))
            asked = asyncio.ensure_future(handover.put(arrival(1)))
            peer, _ = await asyncio.to_thread(listener.accept)
            await asyncio.to_thread(peer.recv, 1)
            peer.close()
            return await asked

        assert asyncio.run(put()).status == Status.ACCEPTED
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1)]


@pytest.mark.parametrize("nonsense", [b"\0\0\0\x05hello", b"\0\0\0\x01\x01"])
def test_a_committer_that_answers_nonsense_costs_no_lead(store, nonsense):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{OURS}-nonsense")
        listener.listen()

        def answer():
            peer, _ = listener.accept()
            with peer:
                peer.recv(1)
                peer.sendall(nonsense)
                while peer.recv(65536):  # until we are hung up on
                    pass

        with ThreadPoolExecutor(1) as pool:
            answering = pool.submit(answer)
            (told,) = ask(f"{OURS}-nonsense", inbox(store), arrival(1))
            assert told.status == Status.ACCEPTED
            with contextlib.suppress(ConnectionResetError):
                answering.result(10)
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
def test_a_receiver_hands_nothing_to_another_user_and_keeps_its_leads_by_itself(store):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{OURS}-somebody-else")
        os.seteuid(65534)
        try:
            listener.listen()  # as whom, the kernel tells the other end
        finally:
            os.seteuid(0)
        handover = Handover(f"{OURS}-somebody-else", inbox(store))

        async def one_after_the_other():
            handover.patience = 1
            return [await handover.put(arrival(number)) for number in (1, 2)]

        assert [one.status for one in asyncio.run(one_after_the_other())] == [Status.ACCEPTED] * 2
        listener.settimeout(10)
        for _ in range(2):
            peer, _ = listener.accept()
            with peer:
                assert peer.recv(1) == b""
    assert [row["id"] for row in rows(store, receipts)] == [id_of(1), id_of(2)]


def test_a_committer_that_never_answers_is_not_waited_for_for_ever(store):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"\0{OURS}-silent")
        listener.listen()
        (answer,) = ask(f"{OURS}-silent", inbox(store), arrival(1), patience=0.2)
    assert isinstance(answer, StoreUnavailable)
    assert "no answer" in str(answer)


def test_a_store_that_cannot_be_written_is_told_and_what_comes_later_is_kept(store, committer):
    with read_only(store):
        (answer,) = ask(committer.address, inbox(store), arrival(1))
    assert isinstance(answer, StoreUnavailable)
    assert store.name in str(answer)
    assert ask(committer.address, inbox(store), arrival(2))[0].status == Status.ACCEPTED
    assert waiting(store) == [id_of(2)]


@pytest.mark.parametrize("said", [b"\0\0\0\x05hello", struct.pack(">I", 2) + msgspec.msgpack.encode([1])])
def test_who_talks_nonsense_is_hung_up_on_and_others_are_served(store, committer, said):
    assert spoken(committer.address, said) == b""
    assert ask(committer.address, inbox(store), arrival(1))[0].status == Status.ACCEPTED


def test_a_message_may_come_in_pieces_and_be_larger_than_a_socket_takes_at_once(store, committer):
    large = arrival(1, lead=msgspec.structs.replace(arrival().lead, description="x" * 3_000_000))
    (answer,) = ask(committer.address, inbox(store), large)
    assert answer.status == Status.ACCEPTED
    Sorter(store).finish()
    assert len(rows(store, receipts)[0]["lead"]) > 3_000_000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
def test_another_user_of_the_machine_is_not_let_in(store, committer):
    program = (
        "import os, socket, sys; os.setuid(65534); peer = socket.socket(socket.AF_UNIX); "
        "peer.settimeout(10); peer.connect('\\0' + sys.argv[1]); peer.sendall(b'\\0\\0\\0\\1\\x90'); "
        "print(peer.recv(10))"
    )
    command = [sys.executable, "-c", program, committer.address]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "b''" in done.stdout or "reset" in done.stderr.lower() or "Broken pipe" in done.stderr
    assert ask(committer.address, inbox(store), arrival(1))[0].status == Status.ACCEPTED
