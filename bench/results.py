"""`results.json`: the latest answer to each question, with its day and hour, and the machine it is from."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.rows import Found, Question

ROOT = Path(__file__).parents[1]
FILE = ROOT / "bench/results.json"


def keep(question: Question, found: Found, *, file: Path = FILE) -> None:
    """Put an answer in place of the one before; all others stay as they are."""
    kept = read(file)
    kept[found.key] = entry(question, found)
    file.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def read(file: Path = FILE) -> dict[str, Any]:
    """Give what is kept, by the question's key."""
    return json.loads(file.read_text()) if file.exists() else {}


def entry(question: Question, found: Found) -> dict[str, Any]:
    """Say an answer in JSON; the ranges' order is median, lowest, highest."""
    figure = found.figure
    return {
        "at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        "question": question.asks.strip(),
        "reference": question.reference,
        "reach": question.reach,
        "reached": None if figure is None else question.reached(figure),
        "unit": question.unit,
        "figure": None if figure is None else list(rounded(figure)),
        **({"not_measured": found.why} if figure is None else {}),
        "bars": {name: list(rounded(bar)) for name, bar in found.bars.items()},
        "bars_unit": found.unit,
    }


def rounded(figure: Any) -> tuple[float, ...]:
    """Four digits are more than a measurement has."""
    return tuple(float(f"{value:.4g}") for value in asdict(figure).values())
