"""A person who can't be overlooked, however it is written, and the search for it."""

from __future__ import annotations

import base64
import quopri
import re
import secrets
import string
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

FIELDS = ("first", "last", "mail", "phone", "company", "title", "note")
_ESCAPED = re.compile(rb"\\u00([0-9a-fA-F]{2})")


def _mark() -> str:
    """Give twelve letters that stand nowhere else, not even from an earlier run."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(12))


def _mark_of_digits() -> str:
    return "".join(secrets.choice(string.digits) for _ in range(12))


@dataclass(frozen=True)
class Canary:
    """One person; each field has a mark of its own."""

    marks: dict[str, str] = field(
        default_factory=lambda: {name: _mark_of_digits() if name == "phone" else _mark() for name in FIELDS}
    )

    @property
    def values(self) -> dict[str, str]:
        """What the fields hold, each unlike plain ASCII where a person's may be."""
        given = {name: f"Ü{mark} “ö”" for name, mark in self.marks.items()}
        return given | {"mail": f"{self.marks['mail']}@contoso.com", "phone": f"+{self.marks['phone']}"}

    @property
    def said(self) -> str:
        """All of the person in one line, as a careless system would have it in an error."""
        return " / ".join(self.values.values())

    def lead(self, **changes: str) -> dict[str, object]:
        """Give the person's lead, as the marketplace sends it; `changes` of what isn't the person, or the `email`."""
        mine = self.values
        person = {
            "firstName": mine["first"], "lastName": mine["last"], "email": changes.pop("email", mine["mail"]),
            "phone": mine["phone"], "country": "US", "company": mine["company"], "title": mine["title"],
        }  # fmt: skip
        offer = {"leadSource": "AzureMarketplace", "actionCode": "INS", "offerTitle": "Contoso Backup"}
        return {"userDetails": person, **offer, "description": mine["note"], "extraField": mine["note"], **changes}

    def found(self, data: bytes) -> list[str]:
        """Name each field that can be read in the data, and how it is written there."""
        seen = []
        for how, view in _views(data):
            seen += [f"{name} ({how})" for name, mark in self.marks.items() if mark.encode() in view]
        lower = data.lower()
        joined = re.sub(rb"\r?\n", b"", data).translate(bytes.maketrans(b"-_", b"+/"))
        for name, mark in self.marks.items():
            for written in {mark, mark.upper(), mark.capitalize()}:
                for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                    coded = written.encode(encoding)
                    if any(one in joined for one in _base64_of(coded)):
                        seen.append(f"{name} (base64)")
                    if coded.hex().encode() in lower:
                        seen.append(f"{name} (hex)")
        return sorted(set(seen))


def _views(data: bytes) -> list[tuple[str, bytes]]:
    """Give the data as it is read in each way of writing, in lower case."""
    lower = data.lower()
    views = [("plain", lower), ("UTF-16", lower.replace(b"\0", b""))]
    if b"%" in data:
        views.append(("percent", unquote_to_bytes(data).lower()))
    if b"\\u00" in data:
        views.append(("JSON", _ESCAPED.sub(lambda one: bytes([int(one[1], 16)]), data).lower()))
    if b"=" in data:
        views.append(("quoted-printable", quopri.decodestring(data).lower()))
    return views


def _base64_of(text: bytes) -> list[bytes]:
    """Give what of a text stands in base64 wherever it begins: at each of three places in a group."""
    given = []
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + text)
        # What its neighbours share in is left out.
        start = (before * 8 + 5) // 6
        given.append(coded[start : (before + len(text)) * 8 // 6])
    return given
