"""The systems misbehave in every way that systems do, while the worker is killed now and then."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.machine import mended
from tests.faults.scene import Elsewhere, Report, Scene, Wanted
from tests.faults.systems import Systems
from tests.faults.wire import Mishap
from tests.standins.salesforce import page as sign_in_page
from tests.standins.salesforce import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

HTML = {"Content-Type": "text/html"}
PAGE = b"<!DOCTYPE html><html><body><h1>Please log in to the guest network</h1></body></html>"
LIMIT = "0x80072322"


class Misbehaviour:
    """What can be wrong, by its name: how it begins and how it ends."""

    def __init__(self, scene: Scene, systems: Systems) -> None:
        """Take the scene and its systems."""
        self._scene, self._systems = scene, systems
        crm, lines = systems.crm, (systems.crm_line, systems.org_line)
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        self.all: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "answers 200 with an error page": (self._pages, self._works),
            "answers 429, Retry-After in seconds": (lambda: self._throttles("2"), self._works),
            "answers 429, Retry-After as a date": (lambda: self._throttles(later), self._works),
            "answers 401 once": (self._forgets, self._works),
            "answers 500": (self._fails, self._works),
            "presents a wrong certificate": (lambda: systems.certificate(right=False), self._trusted),
            "its name is not found": (self._nameless, self._works),
        }
        for mishap in (Mishap.DRIPPING, Mishap.CUT, Mishap.REFUSED, Mishap.SILENT):
            self.all[mishap.value] = (lambda mishap=mishap: self._line(mishap), self._works)
        self._crm, self._lines = crm, lines

    def _works(self) -> None:
        self._crm.page = None
        self._crm.throttle.clear()
        for line in self._lines:
            line.mishap = None
        self._systems.org._scenarios.clear()
        self._scene.page.put(no_names=0)

    def _trusted(self) -> None:
        self._systems.certificate(right=True)

    def _pages(self) -> None:
        self._crm.page = (200, HTML, PAGE)
        self._systems.org.meets("write", *[sign_in_page] * 5)

    def _throttles(self, after: str) -> None:
        self._crm.throttle.extend([(LIMIT, {"Retry-After": after})] * 3)
        self._systems.org.meets("write", *[refusal(429, "REQUEST_LIMIT_EXCEEDED", Retry_After=after)] * 3)

    def _forgets(self) -> None:
        self._systems.entra.tokens.clear()
        self._systems.org.expire()

    def _fails(self) -> None:
        self._crm.page = (500, HTML, b"<html>Internal Server Error</html>")
        self._systems.org.meets("write", *[refusal(500, "UNKNOWN_EXCEPTION")] * 20)

    def _nameless(self) -> None:
        self._scene.page.put(no_names=1)
        self._systems.crm_line.cut()

    def _line(self, mishap: Mishap) -> None:
        for line in self._lines:
            line.mishap = mishap
            if mishap is Mishap.REFUSED:
                line.cut()


def run(wanted: Wanted) -> Report:
    """Go through everything that can be wrong, each with a worker's death in the middle."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadwire-faults-systems-")))
        systems = stack.enter_context(Systems(folder))
        scene = Scene("outside", wanted, more=systems.config)
        scene.system.environment |= systems.environment
        stack.enter_context(scene)
        scene.others["crm"] = Elsewhere(read=systems.in_crm, wants=systems.wants)
        scene.others["sales"] = Elsewhere(read=systems.in_sales, wants=systems.wants)
        wrong = Misbehaviour(scene, systems)
        scene.send(connections=6, pause=0.03)
        scene.wait(1)
        for _ in scene.rounds():
            for name, (begin, end) in wrong.all.items():
                begin()
                scene.wait(scene.dice.uniform(1, 3))
                _kill_worker(scene)
                scene.wait(scene.dice.uniform(1, 3))
                end()
                scene.faults[f"a system {name}"] += 1
                scene.wait(0.5)
                scene.system.command("check")  # what a person does once it is mended
        scene.faults["kill -9 of a worker"] = scene.system.deaths.get("worker", 0)
        return mended(scene)


def _kill_worker(scene: Scene) -> None:
    for pid in scene.system.roles().get("worker", []):
        scene.system.kill("worker", pid)
