"""What looks for the canary finds it however it is written: a search that misses would make its tests worthless."""

import base64
import json
import quopri
from urllib.parse import quote

import pytest

from tests.parts.canary import FIELDS, Canary

WRITTEN = {
    "plain": str.encode,
    "upper": lambda text: text.upper().encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, the other way round": lambda text: text.encode("utf-16-be"),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 at a second place": lambda text: base64.b64encode(b"a" + text.encode()),
    "base64 at a third place": lambda text: base64.b64encode(b"ab" + text.encode()),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()),
    "base64 in lines": lambda text: base64.encodebytes(b"a" * 50 + text.encode()),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16")),
    "percent": lambda text: quote(text, safe="").encode(),
    "percent, every letter": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "JSON": lambda text: json.dumps(text).encode(),
    "JSON, every letter": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "quoted-printable, every letter": lambda text: "".join(f"={byte:02X}" for byte in text.encode()).encode(),
    "hex, as in a dump": lambda text: text.encode().hex().encode(),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_every_field_is_found_however_it_is_written(how):
    canary = Canary()
    for name in FIELDS:
        found = canary.found(b"before " + WRITTEN[how](canary.values[name]) + b" after")
        assert {one.split(" ")[0] for one in found} == {name}


def test_another_person_is_not_taken_for_it():
    assert Canary().found(json.dumps(Canary().lead()).encode()) == []
