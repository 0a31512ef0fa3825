"""What only a real server shows: bodies in pieces, lengths that lie, senders that go away."""

import json
import re
import socket
import time

import pytest

from tests.parts.server import KEY, Server, lead, until

BODY = json.dumps(lead(1)).encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("http"), more="[duplicates]\nwindow_hours = 0\n")
    server.start()
    yield server
    server.end()


def exchange(site, *, headers, body=b"", half_close=False):
    """Send a request as written and give status and JSON of the answer."""
    head = f"POST /leads?code={KEY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers + "\r\n"
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while not _complete(received):
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
    top, _, rest = received.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest or b"{}")


def _complete(received):
    length = re.search(rb"content-length: (\d+)", received.lower())
    return length is not None and len(received.partition(b"\r\n\r\n")[2]) >= int(length[1])


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_chunked_body_is_taken(site):
    status, answer = exchange(site, headers="Transfer-Encoding: chunked\r\n", body=chunks(BODY[:100], BODY[100:]))
    assert (status, answer["status"]) == (202, "accepted")


def test_a_chunked_body_over_the_limit_gets_413(site):
    body = chunks(*[b" " * 8192] * 9)
    assert exchange(site, headers="Transfer-Encoding: chunked\r\n", body=body)[0] == 413


def test_a_declared_length_over_the_limit_gets_413_before_the_body_comes(site):
    assert exchange(site, headers="Content-Length: 100000000\r\n", body=b"{")[0] == 413


def test_a_length_that_is_too_short_ends_in_quarantine(site):
    status, answer = exchange(site, headers=f"Content-Length: {len(BODY) - 5}\r\nConnection: close\r\n", body=BODY)
    assert status == 400
    assert answer["quarantine_id"]


def test_a_length_that_is_too_long_loses_nothing(site):
    """The sender gives up and goes; what came of the body is kept, and a whole lead in it is delivered."""
    before = len(site.delivered())
    status, answer = exchange(site, headers=f"Content-Length: {len(BODY) + 50}\r\n", body=BODY, half_close=True)
    assert (status, answer["status"]) == (202, "accepted")
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        head = f"POST /leads?code={KEY} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY) + 50}\r\n\r\n"
        connection.sendall(head.encode() + BODY)
        time.sleep(1)  # senders wait for an answer before they give up
    assert until(lambda: len(site.delivered()) == before + 2, seconds=15)


def test_a_connection_is_kept_alive_over_refusals(site):
    request = (
        f"POST /leads?code={KEY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        for _ in range(3):
            connection.sendall(request.encode())
            received = b""
            while not _complete(received):
                received += connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 422")


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /leads HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_not_http_disturbs_nobody(site, junk):
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(junk)
    assert site.post(lead(2)).status_code == 202


def test_nothing_of_all_this_reached_the_log(site):
    text = site.log.read_text()
    assert "lead.received" in text
    assert not any(word in text for word in (KEY, "contoso.com", "Traceback"))
