"""From bytes to a document: encodings, JSON, forms, and where exactly something is wrong."""

import json
import time

import pytest

from app.decoding import Rejection, media_type, read_body, read_json

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
# The documented sample of a test lead: the comma after OfferTitle is missing in the original, too.
SAMPLE = b"""{
    "userDetails": {
        "FirstName": "MSFT_TEST_636573304831318844",
        "LastName": "MSFT_TEST_636573304831318844",
        "Email": "MSFT_TEST_636573304831318844@test.com",
        "Phone": "1234567890",
        "Country": "US",
        "Company": "MSFT_TEST_636573304831318844",
        "Title": "MSFT_TEST_636573304831318844"
    },
    "LeadSource": "MSFT_TEST_636573304831318844",
    "ActionCode": "MSFT_TEST_636573304831318844",
    "OfferTitle": "MSFT_TEST_636573304831318844"
    "Description": "MSFT_TEST_636573304831318844"
}"""


def rejected(body: bytes, content_type: str = JSON) -> Rejection:
    with pytest.raises(Rejection) as caught:
        read_body(body, content_type)
    return caught.value


def spot(body: bytes, content_type: str = JSON) -> tuple[int, int]:
    (error,) = rejected(body, content_type).errors
    return error["line"], error["column"]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_documented_sample_is_pointed_at_where_its_comma_is_missing(newline, codec):
    """Not at the next line's beginning, where the parser noticed: a person puts the comma at the end of line 13."""
    rejection = rejected(SAMPLE.replace(b"\n", newline).decode().encode(codec))
    (error,) = rejection.errors
    line = SAMPLE.splitlines()[12]
    assert rejection.status == 400
    assert (error["line"], error["column"]) == (13, len(line) + 1)
    assert "comma" in error["message"].lower() or "','" in error["message"]
    assert "line 14, column 5" in rejection.detail
    assert "Line 13" in rejection.detail


def test_the_documented_sample_with_its_comma_is_read():
    mended = SAMPLE.replace(b'"\n    "Desc', b'",\n    "Desc')
    assert read_body(mended, JSON) == json.loads(mended)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"a": "he said "hi" to me"}', (1, 17)),
        (b'{"a": 1', (1, 8)),
        (b'{"a": 1,\n}', (2, 1)),
        (b'{"a" 1}', (1, 6)),
        (b"", (1, 1)),
        (b'{"a": 1}\n x', (2, 2)),
        ('{"ä": "ö",\n "ü": ?}'.encode(), (2, 7)),
        ('{"ä": "ö",\n "ü": ?}'.encode("utf-16"), (2, 7)),
        (b"\xef\xbb\xbf{x", (1, 2)),
        (b'{"a":\n "\xc3\xa4\xff"}', (2, 4)),
        (b'\xef\xbb\xbf{"a":\n "\xc3\xa4\xff"}', (2, 4)),
        (b'\xef\xbb\xbf{"\xff"}', (1, 3)),
        ('{"a":\n "'.encode("utf-16-le") + b"\x00\xd8" + '"}'.encode("utf-16-le"), (2, 3)),
        ('{"a":\n "'.encode("utf-16") + b"\x00\xd8" + '"}'.encode("utf-16-le"), (2, 3)),
    ],
)
def test_line_and_column_are_those_an_editor_shows(body, where):
    assert spot(body) == where


def test_a_wrong_byte_is_counted_from_the_beginning_of_the_body():
    body = b'\xef\xbb\xbf{"a": "\xff"}'
    assert rejected(body).errors[0]["message"] == "byte 10 is not valid UTF-8"


@pytest.mark.parametrize("content_type", ["application/json; charset=iso-8859-1", 'text/json ; Charset="Windows-1252"'])
def test_a_declared_encoding_counts_where_the_body_is_not_unicode(content_type):
    assert read_body('{"a": "é"}'.encode("latin-1"), content_type) == {"a": "é"}
    assert read_body('{"a": "é"}'.encode(), content_type) == {"a": "é"}


@pytest.mark.parametrize("charset", ["punycode", "unicode_escape", "idna", "rot13", "zlib", "x" * 5000, "\ud800", ""])
def test_only_alphabets_are_taken_for_encodings(charset):
    assert rejected(b'{"a": "\xe9"}', f"application/json; charset={charset}").status == 400


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/xml", b"<a/>", 415),
        ("image/json", b"{}", 415),
        ("jsonapplication/json", b"{}", 415),
        ("", b"first_name=Some", 400),
        ("application/octet-stream", b"", 400),
        (JSON, b"first_name=Some", 400),
        (MULTIPART, b"", 400),
        (MULTIPART, b"no boundary here", 400),
        ("multipart/form-data", b"--b\r\n\r\nx\r\n--b--", 400),
    ],
)
def test_what_is_neither_json_nor_a_form_is_refused(content_type, body, status):
    assert rejected(body, content_type).status == status


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "Application/JSON;charset=UTF-8",
        "application/problem+json",
        "text/json",
        FORM,
        "",
        "application/octet-stream",
    ],
)
def test_json_is_known_by_its_type_or_its_look(content_type):
    assert read_body(b' \r\n{"a": 1}', content_type) == {"a": 1}
    assert media_type(content_type) == content_type.split(";")[0].lower()


def test_two_hundred_levels_are_read_and_thousands_are_refused_without_harm():
    assert read_body(b'{"a":' * 200 + b"1" + b"}" * 200, JSON) is not None
    assert read_body(b"[" * 256 + b"]" * 256, JSON) is not None
    assert rejected(b"[" * 257 + b"]" * 257).status == 400
    with pytest.raises((Rejection, RecursionError)):
        read_body(b"[" * 30000 + b"]" * 30000, JSON)


def test_numbers_keep_all_their_digits():
    digits = b"9" * 65000
    document = read_body(b'{"a": %s, "b": 16175555555, "c": 1.5, "d": 0.12345678901234567, "e": 1e999}' % digits, JSON)
    assert document == {"a": digits.decode(), "b": 16175555555, "c": 1.5, "d": "0.12345678901234567", "e": "1e999"}


def test_what_json_does_not_know_becomes_text():
    assert read_body(b'{"a": NaN, "b": [Infinity, -Infinity]}', JSON) == {"a": "NaN", "b": ["Infinity", "-Infinity"]}


def test_half_pairs_and_nuls_are_replaced_in_keys_and_values_and_no_value_is_lost():
    document = read_body(rb'{"\ud800": "\udc00x", "\u0000": ["\u0000", "\ud83d\ude00"]}', JSON)
    assert document == {"\ufffd": ["\ufffd", "😀"], "\ufffd#2": "\ufffdx"}


def test_of_equal_keys_the_last_that_says_something_wins_and_the_others_stay():
    document = read_json('{"a": 1, "a": null, "a": 2, "a": "", "a": 3, "a": 3, "b": null, "b": 0}')
    assert document == {"a": 3, "a#2": 1, "a#3": 2, "b": 0}


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b",".join(b'"a":%d' % number for number in range(7000)) + b"}",
        b"{" + b",".join(b'"a#%d":0,"a":%d' % (number, number) for number in range(3500)) + b"}",
    ],
)
def test_thousands_of_equal_keys_cost_little(body):
    began = time.perf_counter()
    assert isinstance(read_body(body, JSON), dict)
    assert time.perf_counter() - began < 2


def test_a_form_is_read_as_utf_8_first():
    assert read_body(b"first_name=Zo%C3%AB+A&last_name=&=x&&only", FORM + "; charset=iso-8859-1") == {
        "first_name": "Zoë A",
        "last_name": "",
        "": "x",
        "only": "",
    }


@pytest.mark.parametrize(
    ("body", "content_type", "name"),
    [
        (b"first_name=Zo%EB&encoding=ISO-8859-1", FORM, "Zoë"),
        (b"encoding=UTF-8&first_name=Zo%EB&encoding=windows-1252", FORM, "Zoë"),
        (b"first_name=Zo%EB", FORM + "; charset=ISO-8859-1", "Zoë"),
        (b"first_name=Zo\xeb&encoding=ISO-8859-1", FORM, "Zoë"),
        ("first_name=Zoë".encode(), FORM, "Zoë"),
        (b"first_name=%83%5C&encoding=Shift_JIS", FORM, "ソ"),
    ],
)
def test_a_form_may_name_its_encoding(body, content_type, name):
    document = read_body(body, content_type)
    assert isinstance(document, dict)
    assert document["first_name"] == name


def test_a_form_in_no_known_encoding_is_pointed_at():
    assert spot(b"a=b&first_name=Zo%EB&c=d", FORM) == (1, 5)
    assert spot(b"a=b&first_name=Zo%EB&encoding=punycode", FORM) == (1, 5)


def test_thousands_of_named_encodings_cost_little():
    began = time.perf_counter()
    assert rejected(b"a=%81&" + b"encoding=cp1252&encoding=euc_jp&encoding=gbk&" * 1400, FORM).status == 400
    assert time.perf_counter() - began < 2


def part(value: bytes, disposition: bytes = b'form-data; name="first_name"', more: bytes = b"") -> bytes:
    return b"--b\r\nContent-Disposition: %s\r\n%s\r\n%s\r\n" % (disposition, more, value)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (part("Zoë".encode()), {"first_name": "Zoë"}),
        (part(b"Zo\xeb", more=b"Content-Type: text/plain; charset=iso-8859-1\r\n"), {"first_name": "Zoë"}),
        (part(b"Wm/Dqw==", more=b"Content-Transfer-Encoding: base64\r\n"), {"first_name": "Zoë"}),
        (part(b"x", b"form-data; name*=utf-8''first%5Fname"), {"first_name": "x"}),
        (part(b"x", b"form-data"), {"part": "x"}),
        (part(b"1") + part(b"2"), {"first_name": "2", "first_name#2": "1"}),
        (part(b"x", b'form-data; name="a"; filename="b.txt"'), {"a": "x"}),
    ],
)
def test_multipart_forms_lose_nothing(parts, expected):
    assert read_body(parts + b"--b--\r\n", MULTIPART) == expected


def test_multipart_parts_that_are_no_text_are_refused():
    assert "part 2" in rejected(part(b"a") + part(b"\xff\xfe") + b"--b--", MULTIPART).errors[0]["message"]
    nested = part(b"--c\r\n\r\nx\r\n--c--", more=b"Content-Type: multipart/mixed; boundary=c\r\n")
    assert rejected(nested + b"--b--", MULTIPART).status == 400
