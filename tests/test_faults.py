"""The fault suite in short, and held to itself: what it compares, keeps and publishes. The long form: `make faults`."""

from __future__ import annotations

import json
import os
import re
import shutil
import time

import psycopg
import pytest

from tests.faults import crashes, powercut, results, search
from tests.faults.book import Agreement, Book
from tests.faults.scene import Report, Wanted
from tests.faults.scenes import SCENES
from tests.faults.senders import body, number_of
from tests.faults.shim import SOURCE, WORDS, Step
from tests.parts import unavailable
from tests.parts.canary import FIELDS, Canary
from tests.parts.server import lead, until

SEED = int(os.environ.get("SEED", "1"))
ANSWER = "HTTP/1.1 202"


@pytest.fixture
def compiler():
    if shutil.which("cc") is None:
        unavailable("a C compiler", "install Debian's gcc and libc6-dev")


def short(database="sqlite", *, leads=0, kills=0, seconds=1.0):
    return Wanted(database=database, seed=SEED, leads=leads, kills=kills, seconds=seconds)


@pytest.mark.usefixtures("compiler")
def test_crashes_lose_and_double_nothing(database, request):
    if database == "postgresql":
        request.getfixturevalue("postgres_server")
    report = crashes.run(short(database, leads=200, kills=4, seconds=15))
    assert not report.wrong, report
    assert sum(report.faults.values())
    assert report.leads


@pytest.mark.usefixtures("compiler")
def test_power_that_goes_takes_nothing_that_was_answered():
    report = powercut.run(short())
    assert not report.wrong, report
    assert report.leads


def test_a_lead_is_on_disk_before_its_answer(server, tmp_path):
    if shutil.which("strace") is None:
        unavailable("strace", "install Debian's strace")
    trace = tmp_path / "trace"
    watched = "trace=pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"
    server.start(
        "--no-worker", before=["strace", "-f", "-y", "--seccomp-bpf", "-s", "100", "-e", watched, "-o", str(trace)]
    )
    assert server.post(lead(1)).status_code == 202
    _settled(trace)  # what is written beside the first lead is written
    before = len(trace.read_text().splitlines())
    assert server.post(lead(2)).status_code == 202
    assert until(lambda: ANSWER in "\n".join(trace.read_text().splitlines()[before:]), seconds=10)
    lines = trace.read_text().splitlines()[before:]
    told = next(number for number, line in enumerate(lines) if ANSWER in line)
    (writer,) = {line.split()[0] for line in lines[:told] if "pwrite64(" in line and "-wal>" in line}
    mine = [line.partition(" ")[2].strip() for line in lines[:told] if line.split()[0] == writer]
    last = max(number for number, line in enumerate(mine) if line.startswith("pwrite64(") and "-wal>" in line)
    synced = [
        line for line in mine[last + 1 :] if re.match(r"(fdatasync\(.*-wal>\)|<\.\.\. fdatasync resumed>\)) += 0", line)
    ]
    assert synced, mine[last:]


def _settled(trace):
    """Wait until nothing was written for a second."""
    size = -1
    while size != (size := trace.stat().st_size):
        time.sleep(1)


def book():
    """Two leads that were answered, one whose answer never came."""
    made = Book()
    for number in (made.next(), made.next()):
        made.taken(number, f"id-{number}", "accepted")
    made.unanswered(made.next())
    return made


@pytest.mark.parametrize(
    ("there", "lost", "doubled", "unsent"),
    [
        ([("id-1", 1), ("id-2", 2)], 0, 0, 0),
        ([("id-1", 1), ("id-2", 2), ("id-3", 3)], 0, 0, 0),
        ([("id-2", 2)], 1, 0, 0),
        ([("id-1", 1), ("id-2", 2), ("id-2", 2)], 0, 2, 0),
        ([("id-1", 1), ("id-2", 2), ("id-9", 2)], 0, 1, 1),
        ([("id-1", 1), ("id-2", 2), ("id-9", 9)], 0, 0, 1),
        ([("id-1", 2), ("id-2", 2)], 0, 1, 1),
    ],
)
def test_the_book_sees_what_is_lost_doubled_and_was_never_sent(there, lost, doubled, unsent):
    agreement = Agreement.of(book(), there)
    assert (len(agreement.lost), len(agreement.doubled), len(agreement.unsent)) == (lost, doubled, unsent)
    assert bool(agreement) is not any((lost, doubled, unsent))


def test_the_person_is_found_in_any_file_but_the_destination_s_even_where_two_pieces_meet(tmp_path):
    person, filed = Canary(), tmp_path / "leads.jsonl"
    filed.write_bytes(body(7, person))
    assert number_of(json.loads(filed.read_bytes())["UserDetails"]["LastName"]) == 7
    assert {one.split(" ")[0] for one in person.found(filed.read_bytes())} == set(FIELDS)
    (tmp_path / "store").write_bytes(b"\0" * (search.PIECE + 9))
    assert search.traces(person, [tmp_path], but=filed) == []
    (tmp_path / "store").write_bytes(b"\0" * (search.PIECE - 5) + person.marks["note"].encode())
    assert search.traces(person, [tmp_path], but=filed) == [f"{tmp_path}/store shows note (UTF-16), note (plain)"]


def test_a_person_who_is_not_even_at_the_destination_was_not_looked_for(tmp_path):
    (tmp_path / "leads.jsonl").write_text("somebody else")
    (told,) = search.traces(Canary(), [tmp_path], but=tmp_path / "leads.jsonl")
    assert "does not have the person" in told


def test_the_person_is_found_in_a_row_of_postgresql(postgres_url, tmp_path):
    person, filed = Canary(), tmp_path / "leads.jsonl"
    filed.write_bytes(body(7, person))
    assert search.traces(person, [], but=filed, url=postgres_url) == []
    row = {"id": "x", "arrival": f"of {person.marks['mail']}".encode()}
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO inbox (id, arrival) VALUES (%(id)s, %(arrival)s)", row)
    assert search.traces(person, [], but=filed, url=postgres_url) == ["the rows of inbox show mail (hex)"]


def test_an_answer_that_is_neither_202_nor_our_own_trouble_is_wrong():
    made = Book()
    made.refused(503, "The store is away")
    assert made.wrong == []
    made.refused(503, None)
    made.refused(500, "Internal Server Error")
    assert len(made.wrong) == 2


def test_the_shim_and_its_page_speak_of_the_same_words_and_steps():
    source = SOURCE.read_text()
    page = re.search(r"struct page \{(.*?)\n\};", source, re.DOTALL)[1]
    assert re.findall(r"volatile int\d\d_t (\w+);", page) == list(WORDS)
    steps = re.search(r"enum \{ /\* as in shim.py \*/(.*?)\};", source, re.DOTALL)[1]
    assert re.findall(r"[A-Z_]{4,}", steps) == [step.name for step in Step]


def test_a_report_replaces_the_one_before_and_the_page_shows_all(tmp_path):
    file, page = tmp_path / "results.json", tmp_path / "reliability.md"
    page.write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    for lost in (1, 0):
        report = Report(scene="crashes", database="sqlite", seed=7, faults={"kill": 3}, leads=1234, lost=lost)
        results.keep(report, file=file)
    results.keep(Report(scene="crashes", database="postgresql", seed=7, faults={"kill": 4}, wrong=["x"]), file=file)
    results.renew(page, file)
    text = page.read_text()
    assert (text[:7], text[-6:]) == ("before\n", "after\n")
    assert "| crashes | SQLite | 3 | 1,234 | 0 | 0 | 0 | yes | 7 |" in text
    assert "| crashes | PostgreSQL | 4 | 0 | 0 | 0 | 0 | **no** | 7 |" in text
    assert "| kill | 3 | 4 |" in text
    assert "old" not in text


def test_what_is_published_is_what_was_found(tmp_path):
    copy = tmp_path / "reliability.md"
    copy.write_text(results.PAGE.read_text())
    results.renew(copy)
    assert copy.read_text() == results.PAGE.read_text()
    known = {f"{name} {database}" for name, scene in SCENES.items() for database in scene.databases}
    assert results.read().keys() <= known
