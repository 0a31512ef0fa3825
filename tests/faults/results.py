"""`results.json`: the latest report of each scene and database, and the table that docs/reliability.md has of them."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.scene import Report

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- figures: written by `make faults` -->", "<!-- end of figures -->"
HEADINGS = ("scene", "store", "faults", "leads answered 202", "lost", "doubled", "not sent by anyone", "agrees", "seed")
COUNTED = {"faults": "fault", "effects": "what was seen of them"}
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def keep(report: Report, *, file: Path = FILE) -> None:
    """Put a report in place of the one before; all others stay as they are."""
    kept = read(file)
    now = datetime.now(tz=UTC).isoformat(timespec="seconds")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    kept[f"{report.scene} {report.database}"] = {"at": now, "machine": machine, **asdict(report)}
    file.write_text(json.dumps(kept, indent=2) + "\n")


def read(file: Path = FILE) -> dict[str, dict[str, Any]]:
    """Give what is kept, by scene and database."""
    found: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    return found


def line(report: Report) -> str:
    """Say a report in one line."""
    cells = _cells(asdict(report))
    told = ", ".join(f"{cell} {name}" for name, cell in zip(HEADINGS[2:7], cells[2:7], strict=True))
    return f"{report.scene} on {cells[1]}: {told}; {report.seconds:.0f} s; agrees: {cells[7]}"


def table(kept: dict[str, dict[str, Any]]) -> str:
    """Write the tables in Markdown: what came of each scene, how often each fault struck, and what was seen of it."""
    scenes = [_row(HEADINGS), _row(["---"] * len(HEADINGS)), *(_row(_cells(one)) for one in kept.values())]
    counted = [line for what, heading in COUNTED.items() for line in ("", *_counted(kept, what, heading))]
    return "\n".join([*scenes, *counted])


def _counted(kept: dict[str, dict[str, Any]], what: str, heading: str) -> list[str]:
    """Sum up over the scenes how often each thing was, on which database."""
    sums: dict[str, dict[str, int]] = {}
    for one in kept.values():
        for name, times in one[what].items():
            counts = sums.setdefault(name, {})
            counts[one["database"]] = counts.get(one["database"], 0) + times
    rows = [
        _row([name, *(f"{times[one]:,}" if one in times else "" for one in NAMES)])
        for name, times in sorted(sums.items())
    ]
    return [_row([heading, *NAMES.values()]), _row(["---"] * (1 + len(NAMES))), *rows]


def renew(page: Path = PAGE, file: Path = FILE) -> None:
    """Put the tables in the page in place of those before."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(read(file))}\n{END}{after}")


def _cells(one: dict[str, Any]) -> list[str]:
    numbers = [f"{one[name]:,}" for name in ("leads", "lost", "doubled", "unsent")]
    faults = f"{sum(one['faults'].values()):,}"
    agrees = "**no**" if one["wrong"] else "yes"
    return [one["scene"], NAMES[one["database"]], faults, *numbers, agrees, str(one["seed"])]


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
