"""A Partner Center export of leads: CSV, its columns found by what they are called.

Microsoft's pages name one column of it, LeadCreationDateTime
(https://learn.microsoft.com/partner-center/manage-leads, looked at 2026-11-21); the others are recognised by the names
that such columns have there and elsewhere, and whoever reads it can name them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAMES = {
    "created_at": (
        "leadcreationdatetime", "leadcreationdate", "creationdatetime", "creationdate", "createddatetime",
        "createddate", "datecreated", "createdon", "createdat", "created", "receiveddate", "receivedon",
    ),
    "email": ("email", "emailaddress", "contactemail", "customeremail", "customercontactemail", "emailid", "mail"),
    "first_name": ("firstname", "contactfirstname", "customerfirstname", "givenname"),
    "last_name": ("lastname", "contactlastname", "customerlastname", "surname", "familyname"),
    "name": ("contactname", "customercontactname", "fullname", "name", "contact"),
    "company": ("company", "companyname", "customercompany", "customercompanyname", "customername", "organization"),
    "phone": ("phone", "phonenumber", "contactphone", "customerphone", "contactphonenumber", "telephone"),
    "country": ("country", "countryregion", "countrycode", "customercountry", "customercountryregion"),
    "title": ("title", "jobtitle", "contacttitle", "contactjobtitle"),
    "lead_source": ("leadsource", "source", "marketplacesource", "storefront"),
    "action_code": ("actioncode", "action", "calltoaction", "cta", "customeraction"),
    "offer_title": ("offertitle", "offername", "offerdisplayname", "offer", "solutionname", "productname", "solution"),
    "description": ("description", "notes", "customernotes", "comments", "customercomments"),
}  # fmt: skip
# What Partner Center's pages call the actions, and the code that comes with a lead.
ACTIONS = {
    "getitnow": "INS", "freetrial": "INS", "contactme": "PLT", "testdrive": "StartTestDrive", "create": "Create",
}  # fmt: skip
ENCODINGS = ("utf-8-sig", "utf-16")
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how Excel's own files begin, the new and the old
YEARS = range(2000, 9999)  # outside of them no lead was made, and times are not to be reckoned with
SEPARATORS = ",;\t"
LONGEST_FIELD = 1 << 20
_US = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y")
_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_DAY_FIRST = tuple(form.replace("%m/%d", "%d/%m") for form in _US)


class UnreadableExport(ValueError):  # noqa: N818  (said to a person)
    """This is no export that can be compared; the message says why and what to do."""


class ExportRow(msgspec.Struct, frozen=True, kw_only=True):
    """A lead as Partner Center has it; `line` is the file's."""

    line: int
    created_at: datetime
    email: str
    values: dict[str, str]  # what else is known, by the names of a lead's fields


def read_export(body: bytes, *, columns: Mapping[str, str] | None = None) -> list[ExportRow]:
    """Read every lead of an export; `columns` says what columns are called here that have none of the usual names.

    Raises:
        UnreadableExport: it is no CSV, a column is missing, or a time or an address can't be read. The message has
            line numbers and the names of columns, and nothing that stands in the lines.

    """
    lines = _lines(_text(body))
    head = next((line for _, line in lines if any(line)), None)
    if head is None:
        msg = "The file is empty."
        raise UnreadableExport(msg)
    found = _columns(head, columns or {})
    rows = [
        (number, {name: line[place].strip() for name, place in found.items() if place < len(line)})
        for number, line in lines
        if any(line)
    ]
    times = _times([(number, values.get("created_at", "")) for number, values in rows])
    nameless = [number for number, values in rows if "@" not in values.get("email", "")]
    if nameless:
        msg = f"Line {nameless[0]} has no e-mail address ({len(nameless)} such lines): take them out of the file."
        raise UnreadableExport(msg)
    return [
        ExportRow(line=number, created_at=moment, email=values["email"], values=_known(values))
        for (number, values), moment in zip(rows, times, strict=True)
    ]


def _text(body: bytes) -> str:
    if body.startswith(WORKBOOKS):
        msg = "The file is an Excel workbook. Save it as CSV UTF-8 there, and give that."
        raise UnreadableExport(msg)
    encoding = ENCODINGS[1] if body[:2] in (b"\xff\xfe", b"\xfe\xff") else ENCODINGS[0]
    with contextlib.suppress(UnicodeDecodeError):
        if b"\0" not in body[:2]:  # UTF-16 that does not say so
            return body.decode(encoding)
    msg = "The file is not UTF-8 text. Give the file as Partner Center exports it, or save it as CSV UTF-8."
    raise UnreadableExport(msg)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    told = _SEPARATOR.match(text)  # as Excel has it in the first line
    text = text[told.end() :] if told else text
    separator = told[1] if told else max(SEPARATORS, key=text.lstrip().partition("\n")[0].count)
    skipped = 1 if told else 0
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for line in reader:
            yield reader.line_num + skipped, line
    except csv.Error as exc:
        msg = f"Line {reader.line_num + skipped} is no CSV: {exc}."
        raise UnreadableExport(msg) from None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _columns(head: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    """Find where each column is."""
    there = [_plain(name) for name in head]
    places = {}
    for name, known in NAMES.items():
        wanted = (_plain(given[name]),) if name in given else known
        place = next((there.index(one) for one in wanted if one in there), None)
        if place is not None:
            places[name] = place
        elif name in given or name in ("created_at", "email"):
            shown = ", ".join(one.strip() for one in head)
            msg = f"No column for {name} is among: {shown}. Say which it is: --column {name}=NAME."
            raise UnreadableExport(msg)
    return places


def _times(given: Sequence[tuple[int, str]]) -> list[datetime]:
    """Read the times, all in one form; without a zone they are UTC."""
    unread = ""
    for forms in (_US, _DAY_FIRST):
        times = [_time(text, forms) for _, text in given]
        wrong = [number for (number, _), moment in zip(given, times, strict=True) if moment is None]
        if not wrong:
            return [moment for moment in times if moment is not None]
        unread = unread or (
            f"Line {wrong[0]}: the time can't be read ({len(wrong)} such lines). "
            "Have them as 2026-11-20T10:15:00Z or 11/20/2026 10:15 AM."
        )
    raise UnreadableExport(unread)


def _time(text: str, forms: Sequence[str]) -> datetime | None:
    # Seven digits of a second, as .NET writes them.
    iso = re.sub(r"(\.\d{6})\d+", r"\1", re.sub(r"\s*(?:UTC|GMT)\Z", "Z", text))
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        moment = next((made for form in forms if (made := _parsed(text, form)) is not None), None)  # type: ignore[assignment]
    if moment is None or moment.year not in YEARS:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _known(values: Mapping[str, str]) -> dict[str, str]:
    """Give what a lead has fields for."""
    known = {name: value for name, value in values.items() if value and name not in ("created_at", "email", "name")}
    whole = values.get("name", "")
    if whole and not known.keys() & {"first_name", "last_name"}:
        first, _, last = whole.rpartition(" ")
        known |= {"first_name": first, "last_name": last} if first else {"last_name": last}
    if "action_code" in known:
        known["action_code"] = ACTIONS.get(_plain(known["action_code"]), known["action_code"])
    return known
