"""The file destination: whole lines, each once, whatever breaks."""

import errno
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from app.destinations.base import DeliveryFailed, Sent, Tools
from app.destinations.file import File
from tests.parts.azurite import parcel


@pytest.fixture
def made(tmp_path):
    return lambda path="var/leads.jsonl": File(
        "archive", {"path": str(tmp_path / path)}, Tools(now=None, public_url="")
    )


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "var/leads.jsonl").read_text("utf-8").splitlines()]


def test_a_line_is_the_normal_form_of_the_contract(made, tmp_path):
    assert made().send([parcel(1, first_name="Zoë")]) == [Sent()]
    (line,) = lines(tmp_path)
    assert list(line) == ["id", "received_at", "source", "test", "lead"]
    assert line["received_at"] == "2018-09-28T12:00:00.000Z"
    assert list(line["lead"]) == [
        "first_name", "last_name", "email", "phone", "country", "company", "title", "lead_source", "action_code",
        "offer_title", "publisher_id", "offer_id", "description", "campaign", "extra",
    ]  # fmt: skip
    assert line["lead"]["first_name"] == "Zoë"


def test_a_lead_is_one_line_for_whoever_splits_lines(made, tmp_path):
    ends = "a\x85b\u2028c\u2029d\x0ce\x1ef"
    made().send([parcel(1, description=ends, extra={ends: ends})])
    (line,) = lines(tmp_path)
    assert (line["lead"]["description"], line["lead"]["extra"]) == (ends, {ends: ends})


def test_only_the_owner_may_read_it(made, tmp_path):
    made().send([parcel(1)])
    assert (tmp_path / "var/leads.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", ['{"id": "lead-009", "rec', '{"id": "lead-009"', "{", "\x00\x00\x00"])
def test_half_a_line_from_a_crash_is_cut_off(made, tmp_path, torn):
    made().send([parcel(1)])
    path = tmp_path / "var/leads.jsonl"
    path.write_text(path.read_text() + torn)
    made().send([parcel(2)])
    assert [line["id"] for line in lines(tmp_path)] == ["lead-001", "lead-002"]


def test_a_long_torn_line_is_cut_off_too(made, tmp_path):
    made().send([parcel(1)])
    path = tmp_path / "var/leads.jsonl"
    path.write_text(path.read_text() + '{"id": "' + "x" * 3_000_000)
    made().send([parcel(2)])
    assert len(lines(tmp_path)) == 2


@pytest.mark.parametrize("own", ["a person's note", '{"note": "half', '"id'])
def test_what_is_not_ours_is_never_cut(made, tmp_path, own):
    path = tmp_path / "var/leads.jsonl"
    path.parent.mkdir()
    path.write_text(own)
    made().send([parcel(1)])
    assert path.read_text().splitlines()[0] == own


def test_a_whole_line_without_its_end_is_kept(made, tmp_path):
    made().send([parcel(1)])
    path = tmp_path / "var/leads.jsonl"
    path.write_text(path.read_text().removesuffix("\n"))
    made().send([parcel(2)])
    assert len(lines(tmp_path)) == 2


def test_a_redelivered_lead_is_not_written_again(made, tmp_path):
    from dataclasses import replace

    made().send([parcel(1), parcel(2)])
    made().send([replace(parcel(2), redelivery=True), replace(parcel(3), redelivery=True)])
    assert [line["id"] for line in lines(tmp_path)] == ["lead-001", "lead-002", "lead-003"]


def test_a_lead_whose_lease_is_over_is_looked_for_first(made, tmp_path):
    """A worker slept between its claim and the file's lock, and another delivered meanwhile."""
    from dataclasses import replace
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    woken = File("archive", {"path": str(tmp_path / "var/leads.jsonl")}, Tools(now=lambda: now, public_url=""))
    made().send([parcel(1)])
    assert woken.send([replace(parcel(1), leased_until=now), replace(parcel(2), leased_until=now)]) == [Sent()] * 2
    assert [line["id"] for line in lines(tmp_path)] == ["lead-001", "lead-002"]
    assert woken.send([replace(parcel(3), leased_until=now + timedelta(milliseconds=1))]) == [Sent()]


def test_the_file_may_be_moved_away_between_batches(made, tmp_path):
    destination = made()
    destination.send([parcel(1)])
    (tmp_path / "var/leads.jsonl").rename(tmp_path / "var/leads.1")
    destination.send([parcel(2)])
    assert [line["id"] for line in lines(tmp_path)] == ["lead-002"]


@pytest.mark.parametrize(
    ("path", "prepare", "code"),
    [
        ("there", lambda folder: (folder / "there").mkdir(), "EISDIR"),
        ("plain/leads.jsonl", lambda folder: (folder / "plain").write_text(""), ("ENOTDIR", "EEXIST")),
    ],
)
def test_the_code_is_the_systems_name_of_the_error(made, tmp_path, path, prepare, code):
    prepare(tmp_path)
    destination = made(path)
    for call in (destination.check, lambda: destination.send([parcel(1)])):
        with pytest.raises(DeliveryFailed) as failed:
            call()
        assert failed.value.code in code


def test_a_full_disk_leaves_no_half_line(tmp_path):
    """A file size limit stands for the full disk: the write stops in the middle, the line is taken back."""
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from tests.parts.azurite import parcel
from app.destinations.base import DeliveryFailed, Tools
from app.destinations.file import File
file = File("archive", {{"path": {str(tmp_path / "var/leads.jsonl")!r}}}, Tools(now=None, public_url=""))
file.send([parcel(1)])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    file.send([parcel(2), parcel(3)])
except DeliveryFailed as failed:
    print(failed.code)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == errno.errorcode[errno.EFBIG]
    assert [line["id"] for line in lines(tmp_path)] == ["lead-001"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000
