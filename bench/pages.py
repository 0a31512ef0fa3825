"""Every page of the console: how long one answer takes, signed in, over HTTP."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from bench.servers import running

if TYPE_CHECKING:
    from tests.parts.server import Server

TIMES = 15
ALIKE = 0.9
PATHS = {
    "overview": "/console/",
    "problems": "/console/problems",
    "leads": "/console/leads",
    "leads, page at the other end": "/console/leads?until={end}h",
    "leads, one state": "/console/leads?state=held",
    "leads, dead": "/console/leads?state=dead",
    "leads, sent at one destination": "/console/leads?state=sent&destination=sales",
    "leads, a rare offer": "/console/leads?offer=fabrikam.iot*",
    "leads, nothing found": "/console/leads?state=dead&destination=table",
    "leads, a state that none is in": "/console/leads?state=sending",
    "leads, tests of one source": "/console/leads?test=yes&source=appsource",
    "one lead": "/console/leads/{lead}",
    "test leads": "/console/test-leads",
    "quarantine": "/console/quarantine",
    "one body": "/console/quarantine/{body}",
    "explain": "/console/explain",
    "settings": "/console/settings",
    "audit": "/console/audit",
}


def signed_in(server: Server) -> requests.Session:
    """Sign in with the password that the first start made."""
    session = requests.Session()
    page = session.get(f"{server.url}/console/sign-in", timeout=60).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    password = (server.folder / "var/console.password").read_text().strip()
    form = {"csrf_token": token[1] if token else "", "password": password}
    answer = session.post(f"{server.url}/console/sign-in", form, timeout=60)
    if answer.status_code != 200 or "sign-in" in answer.url:
        sys.exit(f"bench: signing in was answered {answer.status_code} {answer.url}")
    return session


def took(session: requests.Session, url: str) -> tuple[float, int]:
    """Give how long one answer took (ms) and how long it is (bytes); it must be a page."""
    begun = time.perf_counter()
    answer = session.get(url, timeout=60)
    waited = (time.perf_counter() - begun) * 1000
    if answer.status_code != 200 or "sign-in" in answer.url:
        sys.exit(f"bench: {url} was answered {answer.status_code}")
    return waited, len(answer.content)


def one_of(session: requests.Session, server: Server, path: str, query: str = "") -> str:
    """Give the id of the first row that a list links to."""
    found = re.search(rf'href="{path}/([0-9a-f-]{{36}})"', session.get(server.url + path + query, timeout=60).text)
    if found is None:
        sys.exit(f"bench: {path} lists nothing")
    return found[1]


@dataclass(frozen=True, slots=True)
class Times:
    """How long a page took with few leads and with many, in pairs (ms), and whether both list about as much."""

    few: list[float]
    many: list[float]
    alike: bool


def paired_pages(few: Server, many: Server, *, days: tuple[int, int]) -> dict[str, Times]:
    """Give each page's times over both stores, asked for in turn; they go back `days`."""
    with running(few, "--no-worker"), running(many, "--no-worker"):
        visits = [visit(server, end=back * 20) for server, back in zip((few, many), days, strict=True)]
        return {name: times([(session, addresses[name]) for session, addresses in visits]) for name in PATHS}


def times(both: list[tuple[requests.Session, str]]) -> Times:
    """Ask both for a page in turn."""
    pairs = [[took(session, url) for session, url in both] for _ in range(1 + TIMES)]
    small, large = zip(*pairs[1:], strict=True)  # the first of each reads templates and fills caches
    alike = small[0][1] > ALIKE * large[0][1]  # what lists more takes longer for that alone
    return Times([waited for waited, _ in small], [waited for waited, _ in large], alike)


def visit(server: Server, *, end: int) -> tuple[requests.Session, dict[str, str]]:
    """Sign in, and give each page's address."""
    session = signed_in(server)
    lead, body = one_of(session, server, "/console/leads"), one_of(session, server, "/console/quarantine")
    return session, {name: server.url + path.format(lead=lead, body=body, end=end) for name, path in PATHS.items()}
