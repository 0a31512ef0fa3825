"""Where fuzzing begins: a body of every kind that is known, and the words that such bodies are made of."""

from __future__ import annotations

import json
from urllib.parse import urlencode

PERSON = {"FirstName": "Some", "LastName": "One", "Email": "someone@contoso.com", "Phone": "1", "Country": "USA"}
OFFER = {"LeadSource": "AzureMarketplace-INS|contoso.offer", "ActionCode": "INS", "OfferTitle": "Test Microsoft"}
LEAD = {"UserDetails": {**PERSON, "Company": "Contoso", "Title": "Esquire"}, **OFFER, "Description": "Notes"}
FORM = {"first_name": "Some", "email": "someone@contoso.com", "encoding": "UTF-8", "oid": "00D", "lead_source": "A|B"}
BOUNDARY = "b"
# Of each kind a body is fuzzed with; the first byte of an input chooses.
TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    f"multipart/form-data; boundary={BOUNDARY}",
    "",
    "application/json; charset=windows-1252",
    "application/x-www-form-urlencoded; charset=shift_jis",
    "application/octet-stream",
    "text/xml",
)


def _camel(value: object) -> object:
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _camel(one) for key, one in value.items()}
    return value


def _part(name: str, value: str) -> str:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


def seeds() -> list[tuple[int, bytes]]:
    """Give pairs of a type's number and a body."""
    whole = json.dumps(LEAD)
    documents = [
        LEAD,
        _camel(LEAD),
        {**PERSON, **OFFER},
        {"userDetails": json.dumps(PERSON), "Email": None},
        {**LEAD, "Description": '{"mktcmpid": "1", "n": 1e999} and notes'},
        {"Email": "x@mit.edu", "extra": [[{"a\u0000": "\ud800"}], 10**30, -0.0, True]},
        {"FirstName": "MSFT_TEST_1", "LastName": "Müller", "Phone": ["1"]},
    ]
    bodies = [json.dumps(document).encode() for document in documents]
    bodies += [whole.encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252")]
    bodies += [whole.replace(",", "", 1).encode(), b"[" * 300, b'"text"', b"NaN", b"", b"\xef\xbb\xbf"]
    bodies.append(b'{"Email": "a@b.c", "Email": "d@e.f", "EMAIL": "g@h.i", "Email#2": 1}')
    form = [urlencode(FORM).encode(), urlencode(FORM, encoding="shift_jis").encode(), b"email=%ff&=&&encoding=gbk"]
    multipart = ["".join(_part(*pair) for pair in FORM.items()) + f"--{BOUNDARY}--\r\n", _part("a", "b")]
    return [
        *((number, body) for body in bodies for number in (0, 3, 4)),
        *((number, body) for body in form for number in (1, 5)),
        *((2, body.encode()) for body in multipart),
    ]


def words() -> list[str]:
    """Give what a fuzzer should know."""
    marks = [
        "MSFT_TEST",
        "@mit.edu",
        "\\u0000",
        "\\ud800",
        "1e999",
        "%00",
        "NaN",
        "Campaigns:",
        "|",
        "-INS|",
        "encoding=",
    ]
    return [*LEAD, *PERSON, *FORM, *marks, f"--{BOUNDARY}\r\n", "Content-Disposition: form-data; name="]
