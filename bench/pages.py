"""Any page of the console with a million leads in SQLite: how long one answer takes, signed in, over HTTP."""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from scripts.seed import seeded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.parts.server import Server

SIZES = ((1_000, 30), (1_000_000, 180))  # leads, over how many days
TIMES = 9
PATHS = {
    "overview": "/console/",
    "problems": "/console/problems",
    "leads": "/console/leads",
    "leads, page at the other end": "/console/leads?until=170d",
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


def took(session: requests.Session, url: str) -> float:
    """Give the median of several answers' times (ms); each must be a page."""
    times = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        answer = session.get(url, timeout=60)
        times.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200 or "sign-in" in answer.url:
            sys.exit(f"bench: {url} was answered {answer.status_code}")
    return statistics.median(times)


def one_of(session: requests.Session, server: Server, path: str, query: str = "") -> str:
    """Give the id of the first row that a list links to."""
    found = re.search(rf'href="{path}/([0-9a-f-]{{36}})"', session.get(server.url + path + query, timeout=60).text)
    if found is None:
        sys.exit(f"bench: {path} lists nothing")
    return found[1]


def measure(folder: Path, *, leads: int, days: int) -> dict[str, float]:
    """Give each page's time with so many leads."""
    server = seeded(folder, leads=leads, days=days)
    server.start("--no-worker")
    try:
        session = signed_in(server)
        ids = {
            "lead": one_of(session, server, "/console/leads"),
            "body": one_of(session, server, "/console/quarantine"),
        }
        return {name: took(session, server.url + path.format(**ids)) for name, path in PATHS.items()}
    finally:
        server.stop()
        server.end()


def pages() -> Iterator[tuple[str, str]]:
    """How long each page takes with few leads and with a million."""
    found = []
    for leads, days in SIZES:
        with tempfile.TemporaryDirectory(prefix="leadwire-bench-") as folder:
            found.append(measure(Path(folder), leads=leads, days=days))
    yield "a page's answer, with a thousand and with a million leads", ""
    for name in PATHS:
        yield f"  {name}", f"{found[0][name]:6.1f} ms {found[1][name]:8.1f} ms"
