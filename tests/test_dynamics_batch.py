"""Batches on the wire: written as OData wants them, read back whatever a server or a proxy makes of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.destinations.dynamics.batch import Operation, read_batch, write_batch
from tests.standins.dataverse_batch import Fault, read_parts

URL = "https://contoso.crm4.dynamics.com/api/data/v9.2/leads(1)"
TYPE = "multipart/mixed; boundary=answer_1"


def operation(**record):
    return Operation("PATCH", URL, {"If-None-Match": "*"}, record)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=50), min_size=1, max_size=5))
def test_what_is_written_can_be_read_by_a_strict_reader(texts):
    parts = read_parts(*write_batch([operation(subject=text) for text in texts]))
    assert [number for number, _ in parts] == [str(number) for number in range(1, len(texts) + 1)]
    assert [record for _, (_, _, _, record) in parts] == [{"subject": text} for text in texts]


def test_an_operation_stands_alone_under_its_condition():
    [(_, (method, url, headers, _))] = read_parts(*write_batch([operation(subject="Kéyboard €")]))
    assert (method, url, headers["If-None-Match"]) == ("PATCH", URL, "*")
    assert headers["Content-Length"] == str(len(json.dumps({"subject": "Kéyboard €"}, ensure_ascii=False).encode()))


BROKEN = [
    ("application/json", b"--x\r\n\r\n--x--"),
    ("multipart/mixed; boundary=x", b"--x\n\n--x--\n"),
    ("multipart/mixed; boundary=x", b"--y\r\n\r\n--y--"),
    ("multipart/mixed; boundary=x", b"--x\r\nContent-Type: text/plain\r\n\r\n\r\n--x--"),
    ("multipart/mixed; boundary=x", b"--x\r\nContent-Type: application/http\r\n\r\n\r\n--x--"),
    ("multipart/mixed; boundary=x", b"--x\r\nno part\r\n"),
]


@pytest.mark.parametrize(("content_type", "body"), BROKEN)
def test_the_stand_in_takes_no_batch_that_odata_would_not(content_type, body):
    with pytest.raises(Fault) as refused:
        read_parts(content_type, body)
    assert refused.value.status == 400


def part(number, *, status="204 No Content", head="", body="", newline="\r\n"):
    numbered = f"Content-ID: {number}{newline}" if number else ""
    outer = f"Content-Type: application/http{newline}Content-Transfer-Encoding: binary{newline}{numbered}{newline}"
    return f"{outer}HTTP/1.1 {status}{newline}{head}{newline}{body}"


def whole(*parts, newline="\r\n", end="--answer_1--"):
    return (newline.join(line for one in parts for line in ("--answer_1", one)) + newline + end + newline).encode()


def statuses(body, count, content_type=TYPE):
    return [answer and answer.status for answer in read_batch(content_type, body, count=count)]


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_lines_may_end_either_way(newline):
    body = whole(
        part(1, newline=newline), part(2, status="400 Bad Request", body="{}", newline=newline), newline=newline
    )
    assert statuses(body, 2) == [204, 400]


def test_the_boundary_may_be_quoted_and_text_may_stand_around_it():
    body = b"a proxy was here\r\n" + whole(part(1)) + b"and here"
    assert statuses(body, 1, 'multipart/mixed; charset=utf-8; boundary="answer_1"') == [204]


def test_headers_are_found_in_any_letter_case_and_the_body_is_whole():
    body = whole(part(1, status="429 Slow", head="retry-after: 5\r\nX: y\r\n", body='{"error":\r\n\r\n{}}'))
    [answer] = read_batch(TYPE, body, count=1)
    assert answer.headers["Retry-After"] == "5"
    assert answer.body == b'{"error":\r\n\r\n{}}'


def test_a_content_id_inside_the_answer_counts_too():
    body = whole(part(None, head="Content-ID: 2\r\n"), part(None, status="412 Exists", head="Content-ID: 1\r\n"))
    assert statuses(body, 2) == [412, 204]


INCOMPLETE = [
    (whole(part(2)), [None, 204]),
    (whole(part(1), part(1), part(2)), [None, 204]),
    (whole(part(1), part(2), part(3), part(None)), [204, 204]),
    (whole(part(None)), [None, None]),
    (whole(part(None), part(None), part(None)), [None, None]),
    (whole(part(1), part(2), end=""), [204, None]),
    (whole(part(1, status="none at all"), part(2)), [None, 204]),
    (whole(part(1).replace("application/http", "multipart/mixed; boundary=inner"), part(2)), [None, 204]),
    (whole("", part(2)), [None, 204]),
    (b"--answer_1--\r\n", [None, None]),
]


@pytest.mark.parametrize(("body", "expected"), INCOMPLETE)
def test_an_answer_that_cannot_be_matched_is_none_for_that_lead_only(body, expected):
    assert statuses(body, 2) == expected


NO_BATCH = [
    ("text/html", b"<html>--answer_1</html>"),
    ("", whole(part(1))),
    ("multipart/mixed", whole(part(1))),
    ("multipart/related; boundary=answer_1", whole(part(1))),
    (TYPE, b""),
    (TYPE, b"<html></html>"),
]


@pytest.mark.parametrize(("content_type", "body"), NO_BATCH)
def test_what_is_no_batch_answer_is_told_apart(content_type, body):
    assert read_batch(content_type, body, count=1) is None


@given(st.binary(max_size=300), st.integers(1, 4))
def test_no_answer_makes_the_reader_stumble(noise, count):
    body = whole(part(1)).replace(b"HTTP/1.1 204", noise)
    assert len(read_batch(TYPE, body, count=count) or [None] * count) == count
