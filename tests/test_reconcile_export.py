"""Exports of Partner Center as they may look: encodings, separators, names of columns, forms of time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.decoding.exports import LONGEST_FIELD, UnreadableExport, read_export

AT = datetime(2026, 11, 20, 23, 51, tzinfo=UTC)
PLAIN = "LeadCreationDateTime,Email\n2026-11-20T23:51:00Z,someone@contoso.com\n"


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.rstrip("\n").encode(),
        (PLAIN + "\n,\n").encode(),
        ("\n \n" + PLAIN).replace(" ", "").encode(),
        PLAIN.replace("LeadCreationDateTime", " lead creation date/time ").encode(),
        PLAIN.replace("Email", '"E-mail address"').encode(),
    ],
    ids=[
        "plain",
        "mark",
        "utf-16",
        "lines",
        "semicolon",
        "tab",
        "no end",
        "empty lines",
        "empty first",
        "spaces",
        "quoted",
    ],
)
def test_an_export_is_read_however_it_was_saved(body):
    (row,) = read_export(body)
    assert (row.created_at, row.email, row.values) == (AT, "someone@contoso.com", {})


@pytest.mark.parametrize(("before", "line"), [("", 2), ("\n", 3), ("sep=;\r\n", 3)])
def test_a_line_is_numbered_as_in_the_file(before, line):
    separator = ";" if before.startswith("sep") else ","
    assert [row.line for row in read_export((before + PLAIN.replace(",", separator)).encode("utf-8-sig"))] == [line]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T23:51:00.1234567+00:00", AT + timedelta(microseconds=123456)),
        ("2026-11-20 23:51", AT),
        ("2026-11-20 23:51:00 UTC", AT),
        ("2026-11-21T01:51:00+02:00", AT.astimezone(timezone(timedelta(hours=2)))),
        ("11/20/2026 11:51:00 PM", AT),
        ("11/20/2026 23:51", AT),
        ("20/11/2026 23:51:00", AT),
        ("11/20/2026", AT.replace(hour=0, minute=0)),
    ],
)
def test_times_are_read_in_the_forms_that_spreadsheets_leave(text, moment):
    assert read_export(f"Created,Email\n{text},a@b.example\n".encode())[0].created_at == moment


def test_one_day_that_can_be_no_month_says_that_days_come_first():
    rows = read_export(b"Created,Email\n03/04/2026,a@b.example\n25/04/2026,a@b.example\n")
    assert [row.created_at.month for row in rows] == [4, 4]


def test_what_a_lead_has_fields_for_is_taken_and_the_rest_left():
    head = (
        "Lead ID,Created On,Customer Name,Contact Name,Contact Email,Country/Region,Call to action,Offer,Notes,Status"
    )
    line = '7,2026-11-20T23:51:00Z,Contoso,Some Middle One,some@contoso.com,US,Contact me,Test,"two\nlines, one",New'
    (row,) = read_export(f"{head}\n{line}\n".encode())
    assert row.values == {
        "company": "Contoso", "country": "US", "action_code": "PLT", "offer_title": "Test",
        "description": "two\nlines, one", "first_name": "Some Middle", "last_name": "One",
    }  # fmt: skip


def test_columns_can_be_named():
    body = b"When,Who,Email\n2026-11-20T23:51:00Z,someone@contoso.com,nobody\n"
    (row,) = read_export(body, columns={"created_at": "when", "email": "WHO"})
    assert row.email == "someone@contoso.com"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"\xff\xff\xff", "not UTF-8"),
        (b"\r\n\r\n", "empty"),
        (PLAIN.encode("utf-16-le"), "not UTF-8"),
        (b"PK\x03\x04\x14\x00", "Excel workbook. Save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel workbook. Save it as CSV"),
        (b"Created,Email\n0001-01-01T00:00:00+14:00,a@b.example\n", "Line 2: the time .* Have them as 2026-"),
        (b"Created,Email\n9999-12-31T23:59:59-14:00,a@b.example\n", "Line 2: the time"),
        (b"Created,Email\n1969-12-31T23:59:59Z,a@b.example\n", "Line 2: the time"),
        (b"Email\na@b.example\n", r"No column for created_at is among: Email\. .*--column created_at=NAME"),
        (b"Created,Whom\n2026-11-20,x\n", "No column for email is among: Created, Whom"),
        (b"Created,Email\nyesterday,a@b.example\n2026-11-20,a@b.example\n", r"Line 2: the time .*\(1 such"),
        (b"Created,Email\n2026-11-20,a@b.example\n2026-11-20,\n", "Line 3 has no e-mail address"),
        (b'Created,Email\n2026-11-20,"a@b.example\n', "is no CSV"),
        (b"Created,Email\n2026-11-20," + b"a" * (LONGEST_FIELD + 1), "is no CSV"),
    ],
)
def test_what_cannot_be_compared_is_said_without_repeating_anybody(body, said):
    with pytest.raises(UnreadableExport, match=said) as refused:
        read_export(body)
    assert "@" not in str(refused.value)


def test_a_head_without_lines_is_an_export_of_nothing():
    assert read_export(b"LeadCreationDateTime,Email\n") == []
