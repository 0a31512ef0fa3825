"""One run: a Leadwire in a folder of its own, senders, a book; and at the end the report of what agrees with what."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from app.delivery import delivery_id
from tests.faults import ledger, search
from tests.faults.book import Agreement, Book
from tests.faults.senders import Senders
from tests.faults.shim import Page
from tests.faults.system import FILE, System
from tests.parts.canary import Canary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRAINED_WITHIN = 600.0  # seconds; a worker that dies all the time leaves much behind


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of a run."""

    database: str
    seed: int
    leads: int  # at least so many, and at least
    kills: int  # so many deaths, where a scene counts them
    seconds: float  # no longer than this, whatever is reached


@dataclass(kw_only=True)
class Report:
    """What came of a run; `wrong` empty: book, store and destinations agree."""

    scene: str
    database: str
    seed: int
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    effects: dict[str, int] = field(default_factory=dict)
    leads: int = 0  # answered 202
    unanswered: int = 0
    refused: int = 0  # 503 and the like, each with its reason
    lost: int = 0
    doubled: int = 0
    unsent: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A destination but the file: its records as (delivery's id, lead's number), and which leads it is to have."""

    read: Callable[[], list[tuple[str, int]]]
    wants: Callable[[int], bool] = lambda _: True

    @staticmethod
    def names(filed: list[tuple[str, int]], destination: str) -> dict[str, str]:
        """Give the lead's id by its delivery's."""
        return {delivery_id(id_, destination): id_ for id_, _ in filed}


class Scene:
    """Everything a run needs, gone at the end unless something was wrong."""

    def __init__(
        self,
        name: str,
        wanted: Wanted,
        *,
        url: str = "",
        more: str = FILE,
        workers: int = 1,
        schedule: list[str] | None = None,
    ) -> None:
        """Name it; `url` of the store, nothing: SQLite in its folder."""
        self.name, self.wanted = name, wanted
        self.dice = random.Random(f"{name} {wanted.seed}")
        self.faults: Counter[str] = Counter()
        self.effects: Counter[str] = Counter()  # what was seen of them
        self.others: dict[str, Elsewhere] = {}
        self.same_once = True
        self.folder = Path(tempfile.mkdtemp(prefix=f"leadwire-faults-{name}-"))
        self.page = Page(self.folder)
        self.url = url or f"sqlite:///{self.folder}/var/leadwire.db"
        self.system = System(self.folder, self.page, store=self.url, more=more, workers=workers, schedule=schedule)
        self.book = Book()
        self.person = Canary()  # whose leads are sent
        self.database_folder: Path | None = None  # of a PostgreSQL of the scene's own
        self._begun = time.monotonic()
        self._keep = False
        self._senders: Senders | None = None

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.system.begin()
        except BaseException:
            self.system.end()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """End it, whatever happened."""
        self.page.calm()
        self.stop_sending()
        self.system.end()
        if kind is None and not self._keep:
            shutil.rmtree(self.folder)

    def send(self, *, connections: int = 12, pause: float = 0.0, tests: bool = False) -> None:
        """Begin to send."""
        self._senders = Senders(
            self.book, self.system.port, self.person, connections=connections, dice=self.dice, pause=pause
        )
        self._senders.tests = tests
        self._senders.start()

    def stop_sending(self) -> None:
        """End after what is under way."""
        if self._senders is not None:
            self._senders.stop()
            self._senders = None

    def rounds(self) -> Iterator[int]:
        """Number the rounds: one at least, and no further one begins when the time is over."""
        number = 0
        while number == 0 or self.seconds < self.wanted.seconds:
            yield number
            number += 1

    @property
    def seconds(self) -> float:
        """How long it runs already."""
        return time.monotonic() - self._begun

    def wait(self, seconds: float) -> None:
        """Let time pass, and start what is dead."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.system.tend()
            time.sleep(0.02)

    def report(self) -> Report:
        """Have everything delivered, and compare."""
        self.stop_sending()
        self.page.calm()
        left = ledger.drained(self.system, self.url, seconds=DRAINED_WITHIN)
        report = Report(scene=self.name, database=self.wanted.database, seed=self.wanted.seed)
        if left:
            report.wrong.append(f"after {DRAINED_WITHIN:.0f} s {left} still wait")
        report.wrong += ledger.faults_of_store(self.url, self.book)
        filed = ledger.in_file(self.system.leads)
        self._compare(report, "archive", Agreement.of(self.book, filed, same_once=self.same_once))
        for name, other in self.others.items():
            names = other.names(filed, name)
            there = [(names.get(key, key), number) for key, number in other.read()]
            routed = Agreement.of(self.book, there, same_once=self.same_once, wants=other.wants)
            self._compare(report, name, routed)
        report.wrong += self.book.wrong[:3]
        report.faults = dict(sorted(self.faults.items()))
        report.effects = dict(sorted(self.effects.items()))
        report.leads, report.unanswered = self.book.accepted, self.book.answers["unanswered"]
        report.refused = self.book.refusals.total()
        self.system.close_down()
        report.wrong += self._traces()
        report.seconds = round(self.seconds, 1)
        self._keep = bool(report.wrong)
        if self._keep:
            report.wrong.append(f"everything of this run is in {self.folder}")
        return report

    def _traces(self) -> list[str]:
        """Look for the person everywhere but at the destinations."""
        folders = [self.folder] if self.database_folder is None else [self.folder, self.database_folder]
        rows = self.url if self.database_folder is None and self.url.startswith("postgresql") else ""
        return search.traces(self.person, folders, but=self.system.leads, url=rows)[:5]

    def _compare(self, report: Report, name: str, agreement: Agreement) -> None:
        report.lost += len(agreement.lost)
        report.doubled += len(agreement.doubled)
        report.unsent += len(agreement.unsent)
        if not agreement:
            report.wrong.append(f"{name}: {agreement}")
