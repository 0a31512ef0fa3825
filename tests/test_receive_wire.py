"""`/leads` on the wire: lengths, methods, paths, proxies, spellings of the key, and who waits to be asked."""

import http.client
import json
import re
import socket
from urllib.parse import quote

import pytest
import requests

from tests.parts.server import KEY, Server, lead

LIMIT = 65536
UNLIMITED = "[limits]\nwrong_keys_a_minute = 0\n"
ADDRESS = "203.0.113.77"
HEAD = f"POST /leads?code={KEY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server behind one proxy."""
    server = Server(tmp_path_factory.mktemp("wire"), more=UNLIMITED)
    server.config.write_text(server.config.read_text().replace("[server]\n", "[server]\ntrusted_proxies = 1\n"))
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def body():
    """A lead unlike every other, at each call."""
    numbers = iter(range(1, 1_000_000))
    return lambda: json.dumps(lead(next(numbers))).encode()


@pytest.fixture
def kept(site):
    """How many bodies were kept since the test began."""

    def number():
        told = requests.get(f"{site.url}/metrics", timeout=10).text
        return sum(float(value) for value in re.findall(r"^leadwire_leads\{.*\} (\S+)$", told, flags=re.MULTILINE))

    before = number()
    return lambda: number() - before


def connected(site):
    return socket.create_connection(("127.0.0.1", site.port), timeout=10)


def answered(connection):
    """Read one answer, whatever else comes: status, headers, body."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.headers, answer.read()


def asked(site, head, data=b"", *, half_close=False):
    """Send a request as it is written; gives status, headers and document of the answer."""
    with connected(site) as connection:
        connection.sendall(head.encode("latin-1") + b"\r\n" + data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        status, headers, said = answered(connection)
    kind = headers["Content-Type"] or ""
    return status, headers, json.loads(said) if kind.endswith("json") else said


def sized(data):
    return f"Content-Length: {len(data)}\r\n"


def chunks(*pieces, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


# Lengths


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0;ext=1\r\nX-Trailer: x\r\n\r\n"], ids=["plain", "trailer"])
def test_a_chunked_body_is_taken_however_it_is_cut(site, body, end):
    data = body()
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)]
    status, _, answer = asked(site, HEAD + "Transfer-Encoding: chunked\r\n", chunks(*pieces, end=end))
    assert (status, answer["status"]) == (202, "accepted")


def test_a_chunk_that_is_none_keeps_no_lead(site, body, kept):
    status, _, _ = asked(site, HEAD + "Transfer-Encoding: chunked\r\n", b"zz\r\n" + body())
    assert status == 400
    assert kept() == 0


def test_without_a_length_there_is_no_body(site):
    status, _, answer = asked(site, HEAD)
    assert (status, bool(answer["quarantine_id"])) == (400, True)


@pytest.mark.parametrize("length", ["-1", "+5", "1e3", "0x10", "5, 6", "9" * 30])
def test_a_length_that_is_none_is_refused_and_nothing_is_kept(site, body, kept, length):
    status, _, _ = asked(site, HEAD + f"Content-Length: {length}\r\n", body())
    assert status in (400, 413)
    assert kept() == 0


def test_two_lengths_that_differ_are_refused(site, body, kept):
    data = body()
    assert asked(site, HEAD + sized(data) + "Content-Length: 5\r\n", data)[0] == 400
    assert kept() == 0


def test_a_body_that_breaks_off_is_kept_as_far_as_it_came(site, body):
    data = body()
    status, _, answer = asked(site, HEAD + sized(data), data[:-20], half_close=True)
    assert status == 400
    assert answer["quarantine_id"]


def test_who_breaks_off_before_the_body_leaves_nothing(site, kept):
    with connected(site) as connection:
        connection.sendall((HEAD + "Content-Length: 100\r\n\r\n").encode())
    assert site.answers("/healthz")
    assert kept() == 0


@pytest.mark.parametrize("told", [True, False], ids=["told", "chunked"])
def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(site, body, kept, told):
    for size, status in ((LIMIT, 202), (LIMIT + 1, 413)):
        data = body().ljust(size)
        head = HEAD + (sized(data) if told else "Transfer-Encoding: chunked\r\n")
        assert asked(site, head, data if told else chunks(data))[0] == status
    assert kept() == 1


def test_a_sender_of_very_much_is_told_413_while_it_sends(site, kept):
    answer = requests.post(f"{site.url}/leads?code={KEY}", data=iter([b" " * LIMIT] * 40), timeout=10)
    assert answer.status_code == 413
    assert kept() == 0


# Who waits to be asked for the body


def test_who_expects_to_be_asked_is_asked_and_then_answered(site, body):
    data = body()
    with connected(site) as connection:
        connection.sendall((HEAD + sized(data) + "Expect: 100-continue\r\n\r\n").encode())
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert answered(connection)[0] == 202


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD.replace(KEY, "wrong") + "Content-Length: 10\r\n", 401),
        (HEAD + "Content-Length: 100000\r\n", 413),
        (HEAD.replace("POST", "PUT") + "Content-Length: 10\r\n", 405),
    ],
)
def test_who_would_be_refused_anyhow_is_not_asked_for_the_body(site, head, status):
    with connected(site) as connection:
        connection.sendall((head + "Expect: 100-continue\r\n\r\n").encode())
        assert connection.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())


# One connection


def test_requests_that_come_in_one_piece_are_each_answered_in_their_order(site, body):
    data = [body() for _ in range(3)]
    with connected(site) as connection:
        connection.sendall(b"".join((HEAD + sized(one) + "\r\n").encode() + one for one in data))
        received = b""
        while received.count(b'"status":"accepted"') < 3:
            received += connection.recv(65536)
    assert len(set(re.findall(rb'"id":"([^"]+)"', received))) == 3


def test_http_1_0_and_a_whole_url_in_the_first_line_are_understood(site, body):
    for first in (f"POST /leads?code={KEY} HTTP/1.0\r\n", f"POST http://x/leads?code={KEY} HTTP/1.1\r\nHost: x\r\n"):
        data = body()
        assert asked(site, first + sized(data), data)[0] == 202


# Methods and paths


@pytest.mark.parametrize("key", [KEY, "wrong"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_gets_405_with_those_that_there_are(site, body, kept, method, key):
    data = body()
    status, headers, answer = asked(site, HEAD.replace("POST", method).replace(KEY, key) + sized(data), data)
    assert (status, answer["status"]) == (405, 405)
    assert set(headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert kept() == 0


def test_head_is_answered_as_get_without_the_body(site, kept):
    address = f"{site.url}/leads?code={KEY}"
    got, head = requests.get(address, timeout=10), requests.head(address, timeout=10)
    assert (got.status_code, got.json()["status"]) == (head.status_code, "ready") == (200, "ready")
    assert head.headers["Content-Length"] == str(len(got.content))
    assert head.content == b""
    assert kept() == 0


@pytest.mark.parametrize("path", ["/leads/", "/%6Ceads", "/leads%2F"])
def test_the_path_may_be_spelt_otherwise(site, body, path):
    data = body()
    assert asked(site, HEAD.replace("/leads", path) + sized(data), data)[0] == 202


@pytest.mark.parametrize("path", ["/leads/x", "/leadsx", "/LEADS", "//leads", "/leads//", "/x/../leads", "/leads%00"])
def test_nothing_beside_or_below_the_path_takes_leads(site, body, kept, path):
    data = body()
    status, headers, answer = asked(site, HEAD.replace("/leads", path) + sized(data), data)
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert KEY not in json.dumps(answer)
    assert kept() == 0


# The key


@pytest.mark.parametrize(
    ("query", "authorization", "status"),
    [
        (f"code={KEY}", None, 202),
        (f"x=1&code={KEY}&y=2", None, 202),
        (f"code={quote(KEY[0]) + '%' + format(ord(KEY[1]), 'x') + KEY[2:]}", None, 202),
        (f"%63ode={KEY}", None, 202),
        (f"%zz=%&%ff=%00&code={KEY}", None, 202),
        (f"code={KEY}", "Bearer wrong", 202),
        ("", f"bearer  {KEY} ", 202),
        ("code=", f"Bearer {KEY}", 202),
        ("code=wrong", f"Bearer {KEY}", 401),
        (f"code=wrong&code={KEY}", None, 401),
        (f"CODE={KEY}", None, 401),
        (f"code[]={KEY}", None, 401),
        (f"x=1;code={KEY}", None, 401),
        (f"code={KEY}%00", None, 401),
        (f"code={KEY}+", None, 401),
        (f"code=%{KEY}", None, 401),
        ("code=%ff%fe", None, 401),
        ("&&&=&code", None, 401),
        ("", f"Basic {KEY}", 401),
        ("", "Bearer", 401),
        ("", "Bearer \xff", 401),
    ],
)
def test_the_key_is_found_where_it_may_stand_and_nowhere_else(site, body, kept, query, authorization, status):
    data = body()
    head = f"POST /leads?{query} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + sized(data)
    told, headers, _ = asked(site, head + (f"Authorization: {authorization}\r\n" if authorization else ""), data)
    assert told == status
    assert (headers["WWW-Authenticate"] == "Bearer") is (status == 401)
    assert kept() == (status == 202)


# Proxies


@pytest.mark.parametrize("forwarded", [ADDRESS, f"{ADDRESS}, {ADDRESS}", "nonsense", "::1%25eth0", ",,,", "x" * 4000])
def test_what_a_proxy_adds_changes_nothing_for_who_has_the_key(site, body, forwarded):
    data = body()
    more = f"X-Forwarded-For: {forwarded}\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: elsewhere\r\n"
    status, _, answer = asked(site, HEAD + more + sized(data), data)
    assert (status, answer["status"]) == (202, "accepted")


def test_nothing_of_all_this_reached_the_log(site):
    text = site.log.read_text()
    assert "lead.received" in text
    assert not any(word in text for word in (KEY, "contoso.com", ADDRESS, "Traceback", "crashed"))
