"""The figures in `docs/scale.md`: what ten million leads a day come to, by what was measured on this machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bench import results
from bench.rows import number

if TYPE_CHECKING:
    from pathlib import Path

PAGE = results.ROOT / "docs/scale.md"
BEGIN, END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->\n"
HEAD = "| what | measured here | for the plan |\n| --- | --- | --- |\n"
A_DAY = 10_000_000
PEAK = 10  # times the mean
SECONDS = 86_400
KEPT_DAYS = 180
MEAN = A_DAY / SECONDS
LANES = {"dynamics": "Dataverse", "salesforce": "Salesforce", "azure_table": "Azurite"}


def renew(page: Path = PAGE) -> None:
    """Put the latest figures into the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(before + BEGIN + table(results.read()) + END + rest.partition(END)[2])


def table(kept: dict[str, Any]) -> str:
    """Give the table in Markdown; what is not measured has no line."""
    return HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in (*_hosts(kept), *_lanes(kept), *_store(kept)))


def _hosts(kept: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    rate = _bar(kept, "postgres", "Leadwire on PostgreSQL")
    if rate is not None:
        hosts = math.ceil(MEAN * PEAK / (rate / 2))
        told = f"{hosts} such hosts keep {number(MEAN * PEAK)} a second at half their load"
        found.append(("leads kept by one host, PostgreSQL on the same two cores", f"{number(rate)} a second", told))
    for key, what in (("hosts-accept", "kept"), ("hosts-deliver", "delivered")):
        rates = [_bar(kept, key, f"{hosts} host{'s' * (hosts > 1)}") for hosts in (1, 2, 3)]
        measured = [rate for rate in rates if rate is not None]
        if len(measured) == len(rates):
            asked = f"leads {what} by one, two, three hosts, database 10 ms away"
            times = f"three are {number(measured[2] / measured[0])} times one"
            found.append((asked, f"{', '.join(map(number, measured))} a second", times))
    return found


def _lanes(kept: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    for kind, name in LANES.items():
        rate = _bar(kept, f"drain-{kind}", f"Leadwire, {name}")
        if rate is not None:
            share = f"{number(100 * MEAN / rate)} % of a lane's time at the mean"
            found.append((f"one lane into {name}, 30 ms a call", f"{number(rate)} a second", share))
    return found


def _store(kept: dict[str, Any]) -> list[tuple[str, str, str]]:
    size = kept.get("size", {}).get("figure")
    if not size:
        return []
    day, all_ = size[0] * A_DAY / 1e9, size[0] * A_DAY * KEPT_DAYS / 1e12
    told = f"{number(day)} GB a day, {number(all_)} TB in {KEPT_DAYS} days"
    return [("the store's growth a lead, four destinations (SQLite)", f"{number(size[0])} bytes", told)]


def _bar(kept: dict[str, Any], key: str, name: str) -> float | None:
    """Give the median of a bar, where it was measured."""
    found = kept.get(key, {}).get("bars", {}).get(name)
    return found[0] if found else None
