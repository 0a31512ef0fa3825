"""Erasing at the destinations: what is gone there, what can't be, and what is left alone."""

import json
import os
import threading
from pathlib import Path

import pytest

from app.destinations.base import DeliveryFailed, Eraser, Record, Sent, Tools
from app.destinations.email import Email
from app.destinations.file import File
from tests.parts.azurite import NOON
from tests.parts.azurite import parcel as row_parcel
from tests.standins import dynamics_use, salesforce_use

TOOLS = Tools(now=lambda: NOON, public_url="https://leads.contoso.example")


def record(parcel, remote_id=None):
    return Record(
        delivery_id=parcel.delivery_id, lead_id=parcel.lead_id, received_at=parcel.received_at, remote_id=remote_id
    )


def erased(destination, *records):
    assert isinstance(destination, Eraser)
    return [(one.erased, one.told.split(".")[0]) for one in destination.erase(records)]


# Files


@pytest.fixture
def archive(tmp_path):
    return File("archive", {"path": str(tmp_path / "leads.jsonl")}, TOOLS)


def ids(path):
    return [json.loads(line)["id"] for line in Path(path).read_text().splitlines()]


def test_a_leads_lines_are_taken_out_of_a_file_and_all_others_stay_byte_for_byte(archive, tmp_path):
    path = tmp_path / "leads.jsonl"
    three = [row_parcel(number, first_name=f"Zoë {number}") for number in (1, 2, 3)]
    archive.send(three)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"not ours\n" + b"".join(lines) + lines[1])  # twice, as somebody's script left it
    path.chmod(0o640)
    assert erased(archive, record(three[1])) == [(True, "Taken out of the file")]
    assert path.read_bytes() == b"not ours\n" + lines[0] + lines[2]
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["leads.jsonl"]


def test_what_is_not_in_the_file_or_has_no_file_counts_as_erased(archive, tmp_path):
    assert erased(archive, record(row_parcel(1))) == [(True, "It is not in the file: it may have been moved on")]
    assert not (tmp_path / "leads.jsonl").exists()
    archive.send([row_parcel(2)])
    before = (tmp_path / "leads.jsonl").stat()
    assert erased(archive, record(row_parcel(1)))[0][0]
    assert (tmp_path / "leads.jsonl").stat().st_ino == before.st_ino


def test_the_old_file_has_no_word_of_the_lead_for_who_has_it_open(archive, tmp_path):
    archive.send([row_parcel(1, last_name="Canary"), row_parcel(2)])
    with (tmp_path / "leads.jsonl").open("rb") as opened:
        archive.erase([record(row_parcel(1))])
        assert b"Canary" not in opened.read()


def test_a_link_stays_one(archive, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "leads.jsonl").symlink_to(tmp_path / "elsewhere/leads.jsonl")
    archive.send([row_parcel(1), row_parcel(2)])
    archive.erase([record(row_parcel(1))])
    assert (tmp_path / "leads.jsonl").is_symlink()
    assert ids(tmp_path / "elsewhere/leads.jsonl") == ["lead-002"]


def test_half_a_line_of_the_lead_goes_too(archive, tmp_path):
    archive.send([row_parcel(1), row_parcel(2)])
    path = tmp_path / "leads.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    archive.erase([record(row_parcel(2))])
    assert ids(path) == ["lead-001"]


def test_leads_that_are_written_while_others_are_erased_are_all_there(archive, tmp_path):
    wanted = [row_parcel(number) for number in range(200)]
    archive.send(wanted[:100])

    def write():
        for one in wanted[100:]:
            File("archive", {"path": str(tmp_path / "leads.jsonl")}, TOOLS).send([one])

    writer = threading.Thread(target=write)
    writer.start()
    for one in wanted[:100]:
        archive.erase([record(one)])
    writer.join()
    assert sorted(ids(tmp_path / "leads.jsonl")) == sorted(one.lead_id for one in wanted[100:])


def test_a_file_that_cannot_be_written_anew_stays_as_it_is(archive, tmp_path):
    archive.send([row_parcel(1)])
    path = tmp_path / "leads.jsonl"
    before = path.read_bytes()
    (tmp_path / "leads.jsonl.erasing").mkdir()
    with pytest.raises(DeliveryFailed) as failed:
        archive.erase([record(row_parcel(1))])
    assert failed.value.code == "EISDIR"
    assert path.read_bytes() == before


# Azure Table


def test_rows_are_deleted_and_others_of_the_day_stay(azurite, table_at, rows_of):
    table = table_at(azurite.connection_string)
    sent = [row_parcel(number) for number in (1, 2, 3)]
    table.send(sent)
    found = erased(table, record(sent[0], "9:2F28:2F2018/lead-001"), record(sent[2]), record(row_parcel(9)))
    assert found == [(True, "The row is deleted"), (True, "The row is deleted"), (True, "There is no such row")]
    assert list(rows_of(azurite, table)) == ["lead-002"]


def test_a_table_that_is_not_there_has_nothing_to_erase(azurite, table_at):
    assert erased(table_at(azurite.connection_string), record(row_parcel(1))) == [(True, "There is no such row")]


def test_a_table_service_that_is_away_fails_as_a_whole(table_at):
    from tests.parts.azurite import connection_string, free_port

    with pytest.raises(DeliveryFailed) as failed:
        table_at(connection_string(f"http://127.0.0.1:{free_port()}")).erase([record(row_parcel(1))])
    assert failed.value.code == "network.refused"


# Dynamics


@pytest.fixture
def crm(server_tls, ca_bundle, monkeypatch):
    with dynamics_use.Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as office:
        office.crm.privileges.add("prvDeleteLead")
        yield office


def test_a_dynamics_lead_is_deleted_by_the_deliverys_own_id(crm):
    destination, sent = crm.destination(), dynamics_use.parcels(3)
    destination.send(sent)
    found = erased(destination, record(sent[0], sent[0].delivery_id), record(sent[1]), record(dynamics_use.parcel(9)))
    assert found == [(True, "The lead is deleted")] * 2 + [(True, "There is no such lead")]
    assert list(crm.crm.leads) == [sent[2].delivery_id]


def test_without_the_privilege_nothing_is_deleted_and_the_code_says_so(crm):
    destination, sent = crm.destination(), dynamics_use.parcel()
    destination.send([sent])
    crm.crm.privileges.discard("prvDeleteLead")
    with pytest.raises(DeliveryFailed) as failed:
        destination.erase([record(sent)])
    assert (failed.value.code, failed.value.status) == ("0x80040220", 403)
    assert list(crm.crm.leads) == [sent.delivery_id]


def test_a_404_of_another_kind_is_not_taken_for_an_erased_lead(crm):
    crm.crm.page = (404, {"Content-Type": "text/html"}, b"<html>not here</html>")
    with pytest.raises(DeliveryFailed):
        crm.destination().erase([record(dynamics_use.parcel())])


# Salesforce


@pytest.fixture
def org(monkeypatch):
    with salesforce_use.Office(monkeypatch) as office:
        yield office


@pytest.mark.parametrize("way", salesforce_use.WAYS)
def test_salesforce_leads_go_to_the_recycle_bin_by_their_ids_or_by_our_mark(org, way):
    destination, sent = org.by(way), salesforce_use.parcels(4)
    outcomes = destination.send(sent)
    assert all(isinstance(one, Sent) for one in outcomes)
    known, unknown, other = record(sent[0], outcomes[0].remote_id), record(sent[1]), record(salesforce_use.parcel(99))
    found = erased(destination, known, unknown, other)
    binned = (
        True,
        "The lead is in the recycle bin, where Salesforce keeps it for 15 days; empty the bin to be rid of it now",
    )
    assert found == [binned, binned, (True, "There is no such lead")]
    assert [one["Id"] for one in org.records] == [one.remote_id for one in outcomes[2:]]
    assert len(org.org.leads.recycle_bin) == 2
    assert erased(destination, known) == [(True, "There is no such lead")]


def test_more_than_a_call_takes_are_deleted_in_several(org):
    destination, sent = org.by("external id"), salesforce_use.parcels(200)
    outcomes = [*destination.send(sent), *destination.send(salesforce_use.parcels(1, first=201))]
    records = [
        record(one, outcome.remote_id) for one, outcome in zip(salesforce_use.parcels(201), outcomes, strict=True)
    ]
    assert all(one.erased for one in destination.erase(records))
    assert (org.records, org.org.count("delete")) == ([], 2)


def test_a_lead_that_salesforce_does_not_show_us_does_not_count_as_erased(org):
    destination, sent = org.by("external id"), salesforce_use.parcel()
    (outcome,) = destination.send([sent])
    org.records.clear()  # a sharing rule hides it: the answer is the same as of an id that never was
    (found,) = erased(destination, record(sent, outcome.remote_id))
    assert found == (False, "Salesforce shows Leadwire's user no such lead")


def test_a_lead_that_salesforce_will_not_delete_is_told_with_its_code(org):
    destination, sent = org.by("external id"), salesforce_use.parcel()
    (outcome,) = destination.send([sent])
    org.org.leads.deletable = False
    assert erased(destination, record(sent, outcome.remote_id)) == [
        (False, "Salesforce refused it: INSUFFICIENT_ACCESS_OR_READONLY")
    ]


# E-mail


@pytest.mark.parametrize(("personal", "gone"), [("include", False), ("link", True)])
def test_a_mail_cannot_be_called_back_and_one_with_a_link_has_nothing_personal(personal, gone):
    settings = {
        "type": "email", "transport": "smtp", "host": "127.0.0.1", "port": 2525, "security": "tls",
        "from": "leads@contoso.example", "to": ["sales@contoso.example"], "personal_data": personal,
    }  # fmt: skip
    destination = Email("mail", Email.schema().load(settings), TOOLS)
    ((done, told),) = erased(destination, record(row_parcel(1)))
    assert done is gone
    assert ("sales@contoso" in told) is not gone


def test_nothing_of_a_person_is_in_what_is_told(archive):
    archive.send([row_parcel(1, last_name="Canary")])
    (told,) = archive.erase([record(row_parcel(1))])
    assert "Canary" not in told.told
    assert os.fspath(archive._path) not in told.told
