"""Takes pictures of every page of the console, light and dark, wide and on a phone, with a seeded store.

PYTHONPATH=. python scripts/screenshots.py /tmp/shots
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.pages import one_of, signed_in
from scripts.seed import seeded
from tests.parts.browser import DESKTOP, FLAGS, PHONE, executable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.parts.server import Server

PAGES = {
    "sign-in": "/console/sign-in",
    "overview": "/console/",
    "problems": "/console/problems",
    "leads": "/console/leads",
    "leads-filtered": "/console/leads?state=dead&destination=sales",
    "leads-none": "/console/leads?state=dead&destination=table",
    "lead": "/console/leads/{lead}",
    "lead-dead": "/console/leads/{dead}",
    "test-leads": "/console/test-leads",
    "quarantine": "/console/quarantine",
    "quarantined": "/console/quarantine/{body}",
    "explain": "/console/explain",
    "settings": "/console/settings",
    "audit": "/console/audit",
}
THEMES = ("light", "dark")
SIZES = {"wide": DESKTOP, "phone": PHONE}
# For the README: copied to docs/images by hand.
SHOWN = {"overview-light-wide": "overview.png", "problems-dark-wide": "problems.png"}


@contextlib.contextmanager
def console(*, leads: int, days: int) -> Iterator[Server]:
    """Run a server over a seeded store."""
    with tempfile.TemporaryDirectory(prefix="leadwire-shots-") as folder:
        server = seeded(Path(folder), leads=leads, days=days)
        server.start("--no-worker")
        try:
            yield server
        finally:
            server.stop()
            server.end()


def take(server: Server, folder: Path, *, only: str) -> None:
    """Take the pictures whose name has `only` in it."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  (--help works without it)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        for theme in THEMES:
            for width, size in SIZES.items():
                names = [f"{page}-{theme}-{width}" for page in PAGES]
                if any(only in name for name in names):
                    _round(browser, server, folder, theme=theme, width=width, size=size, only=only)
        browser.close()


def _round(browser: Any, server: Server, folder: Path, *, theme: str, width: str, size: Any, only: str) -> None:  # noqa: ANN401
    context = browser.new_context(
        viewport=size, color_scheme=theme, locale="en-GB", timezone_id="Europe/Berlin", device_scale_factor=1
    )
    page = context.new_page()
    session = signed_in(server)
    ids = {"lead": one_of(session, server, "/console/leads"), "body": one_of(session, server, "/console/quarantine")}
    ids["dead"] = one_of(session, server, "/console/leads", "?state=dead")
    for name, path in PAGES.items():
        called = f"{name}-{theme}-{width}"
        if only not in called:
            continue
        if name != "sign-in":
            kept = [
                {"name": one.name, "value": one.value, "domain": "127.0.0.1", "path": "/console"}
                for one in session.cookies
            ]
            context.add_cookies(kept)
        page.goto(server.url + path.format(**ids))
        page.wait_for_timeout(250)
        page.screenshot(path=str(folder / f"{called}.png"), full_page=True)
        if called in SHOWN:
            page.screenshot(path=str(folder / SHOWN[called]), full_page=name == "overview")
    context.close()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Take pictures of every page of the console.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--leads", type=int, default=8000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--only", default="", help="a part of the names, such as problems-dark")
    given = parser.parse_args()
    if executable() is None:
        sys.exit("screenshots: Chromium can't be had here; install Debian's chromium")
    given.folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with console(leads=given.leads, days=given.days) as server:
        take(server, given.folder, only=given.only)
    print(f"{given.folder}: in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
