"""Whatever others do, every real lead is answered; how soon is measured by `python -m bench hostile`."""

import contextlib
import resource
import select

import pytest
import requests

from app.web import gathering
from app.web.receive import READ_WITHIN
from tests.parts import unavailable
from tests.parts.hostile import SLOW_FORM, SLOW_HEADERS, SLOW_LEAD, crowd, flood, real
from tests.parts.server import Server, until

IDLE = 2000
LEADS = 40
FILES = 4 * IDLE


@pytest.fixture
def site(tmp_path):
    """A running server, where so many connections can be held."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        unavailable(f"{FILES} open files", "raise the hard limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    server = Server(tmp_path)
    server.start()
    yield server
    server.end()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def assert_every_lead_is_answered(site):
    statuses, _ = real(site, LEADS)
    assert statuses == [202] * LEADS


def test_2000_connections_that_say_nothing_keep_no_lead_out(site):
    with crowd(site, IDLE):
        assert_every_lead_is_answered(site)


def test_300_senders_whose_headers_never_end_keep_no_lead_out(site):
    with crowd(site, 300, SLOW_HEADERS, drip=b"x"):
        assert_every_lead_is_answered(site)


def test_300_senders_with_the_key_whose_bodies_never_end_keep_no_lead_out(site):
    with crowd(site, 300, SLOW_LEAD, drip=b" "):
        assert_every_lead_is_answered(site)


def test_slow_forms_take_nothing_from_leads_nor_from_people(site):
    with crowd(site, 300, SLOW_FORM, drip=b" "):
        assert_every_lead_is_answered(site)
        assert requests.get(f"{site.url}/healthz", timeout=10).status_code == 200
        assert requests.get(f"{site.url}/console/sign-in", timeout=10).status_code == 200
        assert requests.post(f"{site.url}/api/v1/explain", json={}, timeout=10).status_code == 401


def test_a_flood_of_wrong_keys_gets_429_and_keeps_no_lead_out(site):
    with flood(site) as statuses:
        assert_every_lead_is_answered(site)
    assert set(statuses) == {401, 429}
    assert statuses.count(429) > statuses.count(401)


def test_who_is_silent_is_hung_up_on_and_whose_body_does_not_come_is_told_so_wherever_it_was_going(site):
    with contextlib.ExitStack() as held:
        late = [held.enter_context(crowd(site, 1, says))[0] for says in (SLOW_LEAD, SLOW_FORM)]
        silent = [held.enter_context(crowd(site, 1, says, drip=says[-1:]))[0] for says in (b"", SLOW_HEADERS)]
        for line in (*late, *silent):
            line.settimeout(READ_WITHIN + 30)
        for line in late:
            answer = line.recv(65536)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"application/problem+json" in answer
        assert [line.recv(65536) for line in silent] == [b"", b""]


def test_a_body_that_is_too_large_for_console_and_api_is_refused_before_it_comes(site):
    head = f"Host: x\r\nContent-Length: {gathering.LARGEST + 1}\r\n\r\n"
    for path in ("/console/sign-in", "/api/v1/explain"):
        with crowd(site, 1, f"POST {path} HTTP/1.1\r\n{head}".encode()) as (line,):
            assert line.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_large_bodies_together_take_no_more_than_their_room(site):
    """Senders that leave the last byte out fill it; the next is asked to come again, and what has no body is served."""
    number = 2 * gathering.AT_ONCE // gathering.LARGEST + 4  # two receivers
    head = f"POST /api/v1/explain HTTP/1.1\r\nHost: x\r\nContent-Length: {gathering.LARGEST}\r\n\r\n"
    with crowd(site, number) as lines:
        for line in lines:
            with contextlib.suppress(OSError):  # refused before all of it is sent; the answer can still be read
                line.sendall(head.encode() + b"x" * (gathering.LARGEST - 1))
        answered, _, _ = select.select(lines, [], [], 15)
        assert {line.recv(65536)[:13] for line in answered} == {b"HTTP/1.1 503 "}
        assert_every_lead_is_answered(site)
        assert requests.get(f"{site.url}/console/sign-in", timeout=10).status_code == 200
    large = "x" * gathering.LARGEST
    assert until(
        lambda: requests.post(f"{site.url}/api/v1/explain", data=large, timeout=20).status_code == 401, seconds=9
    )
