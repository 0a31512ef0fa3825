"""A million leads in the store beside a thousand: accepting, claiming, and the console's pages."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from app.store import open_store
from bench.accept import warmed
from bench.pages import PATHS, Times, paired_pages
from bench.pile import FILES, copy_store, pile_up
from bench.rows import Figure, Found, Question
from bench.servers import FOUR_FILES, folder, leads, running
from scripts.seed import seeded
from tests.parts.arrivals import outbox, result
from tests.parts.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.store.outbox import Outbox

FEW, MANY = 1_000, 1_000_000
DAYS = {FEW: 2, MANY: 180}  # in two days, a thousand leave as much waiting as fills a page
ROUNDS = 3
CLAIMS = 20  # a round
BATCH = 100
SMALL, LARGE = f"Leadwire, {FEW:,} leads", f"Leadwire, {MANY:,} leads"
QUESTIONS = {
    "growth-accept": Question(
        asks=f"Leads accepted a second with {MANY:,} in the store", reference=f"with {FEW:,}", at_least=0.9
    ),
    "growth-claim": Question(
        asks=f"Claims of {BATCH} deliveries a second with {MANY:,}", reference=f"with {FEW:,}", at_least=0.9
    ),
    "growth-record": Question(asks="  recording what became of them", reference=f"with {FEW:,}"),
    "growth-overview": Question(
        asks=f"The console's overview with {MANY:,} leads, time", reference=f"with {FEW:,}", at_most=2.0
    ),
    "growth-search": Question(asks="Lists and searches of leads, the worst", reference=f"with {FEW:,}", at_most=2.0),
    "growth-pages": Question(asks="Any page of the console, the worst", reference=f"with {FEW:,}", at_most=2.0),
    "growth-longer": Question(asks="  pages that list more with more leads, the worst", reference=f"with {FEW:,}"),
}


def measure() -> Iterator[Found]:
    """Fill both, and ask them in turn."""
    with folder() as few, folder() as many:
        stores = {SMALL: seeded(few, leads=FEW, days=DAYS[FEW]), LARGE: seeded(many, leads=MANY, days=DAYS[MANY])}
        yield from pages(stores)
        pristine = few / "var/pristine.db"
        copy_store(database(stores[SMALL].folder), pristine)
        yield accepting(stores, pristine)
        copy_store(pristine, database(stores[SMALL].folder))
        yield from claiming({name: database(server.folder) for name, server in stores.items()})


def database(made: Path) -> Path:
    """Give a server's store."""
    return made / "var/leadwire.db"


def pages(stores: dict[str, Server]) -> Iterator[Found]:
    """Ask for each page in turn of both; the ratio's range is that of the pairs."""
    took = paired_pages(stores[SMALL], stores[LARGE], days=(DAYS[FEW], DAYS[MANY]))
    alike = [name for name in took if took[name].alike]
    yield worst("growth-overview", {"overview": took["overview"]})
    yield worst("growth-search", {name: took[name] for name in alike if PATHS[name].startswith("/console/leads")})
    yield worst("growth-pages", {name: took[name] for name in alike})
    yield worst("growth-longer", {name: took[name] for name in took if name not in alike})


def worst(key: str, took: dict[str, Times]) -> Found:
    """Give the page whose ratio is the highest, and the times of all."""
    ratios = [Figure.paired(page.many, page.few) for page in took.values()]
    bars = {}
    for name, page in took.items():
        bars |= {f"{FEW:,}: {name}": Figure.of(page.few), f"Leadwire, {MANY:,}: {name}": Figure.of(page.many)}
    return Found(key=key, figure=max(ratios, key=lambda ratio: ratio.median), bars=bars, unit="ms")


def accepting(stores: dict[str, Server], pristine: Path) -> Found:
    """Post to both in turn, with workers; the small store begins anew each round, or it would not stay small."""
    took: dict[str, list[float]] = {SMALL: [], LARGE: []}
    for _ in range(ROUNDS):
        copy_store(pristine, database(stores[SMALL].folder))
        for name, seeds in stores.items():
            with running(Server(seeds.folder, more=FOUR_FILES)) as server:
                took[name].append(warmed(leads(server)).rate)
    bars = {name: Figure.of(rates) for name, rates in took.items()}
    return Found(key="growth-accept", figure=Figure.paired(took[LARGE], took[SMALL]), bars=bars, unit="leads/s")


def claiming(databases: dict[str, Path]) -> Iterator[Found]:
    """Claim from both in turn, and record that it is sent; no server runs."""
    stores = {}
    for name, path in databases.items():
        pile_up(path, leads=ROUNDS * CLAIMS * BATCH)
        stores[name] = open_store(f"sqlite:///{path}")
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in stores}
    for _ in range(ROUNDS):
        for name, store in stores.items():
            took[name].append(claim_rates(outbox(store)))
    for store in stores.values():
        store.close()
    for key, position in (("growth-claim", 0), ("growth-record", 1)):
        rates = {name: [one[position] for one in rounds] for name, rounds in took.items()}
        bars = {name: Figure.of(values) for name, values in rates.items()}
        yield Found(key=key, figure=Figure.paired(rates[LARGE], rates[SMALL]), bars=bars, unit="batches/s")


def claim_rates(box: Outbox) -> tuple[float, float]:
    """Give how many batches a second are claimed, and how many recorded; medians of a round."""
    claims, records = [], []
    for _ in range(CLAIMS):
        now = round(time.time() * 1000)
        begun = time.perf_counter()
        taken = box.claim(FILES[0], limit=BATCH, now=now)
        claimed = time.perf_counter()
        box.record(FILES[0], [result(claim, due=now) for claim in taken], now=now)
        claims.append(claimed - begun)
        records.append(time.perf_counter() - claimed)
        if len(taken) < BATCH:
            msg = f"only {len(taken)} deliveries were due"
            raise RuntimeError(msg)
    return 1 / statistics.median(claims), 1 / statistics.median(records)
