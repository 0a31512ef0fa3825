"""One SVG chart a question: horizontal bars with their range, readable on light and on dark pages."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from bench.results import ROOT
from bench.rows import number

if TYPE_CHECKING:
    from pathlib import Path

    from bench.rows import Figure, Found, Question

FOLDER = ROOT / "docs/images/bench"
WIDTH, LABELS, RIGHT = 860, 330, 130  # px: all of it, the part for names, the part for figures
BAR, STEP, TOP = 18, 30, 56
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.dim{fill:#59636e}.head{font-weight:600;font-size:14px}"
    ".bar{fill:#8c959f}.ours{fill:#0969da}.range{stroke:#1f2328}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.dim{fill:#9198a1}.bar{fill:#656c76}.ours{fill:#4493f8}"
    ".range{stroke:#f0f6fc}}"
)


def draw(question: Question, found: Found, *, folder: Path = FOLDER) -> None:
    """Draw what an answer was made of; one without bars has none."""
    if found.figure is None or not found.bars:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{found.key}.svg").write_text(chart(question, found))


def chart(question: Question, found: Found) -> str:
    """Give the picture."""
    scale = (WIDTH - LABELS - RIGHT) / (max(bar.high for bar in found.bars.values()) or 1)
    height = TOP + STEP * len(found.bars) + 8
    verdict = f"{found.figure} {question.unit}".rstrip() + (f" to {question.reference}" if question.reference else "")
    told = f"{verdict}; promised {question.reach}" if question.reach else verdict
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(question.asks.strip())}</title><style>{STYLE}</style>",
        f'<text class="head" x="8" y="20">{escape(question.asks.strip())}</text>',
        f'<text class="dim" x="8" y="40">{escape(told)}</text>',
    ]
    rows = enumerate(found.bars.items())
    return "\n".join([*lines, *(_bar(row, name, bar, scale, found.unit) for row, (name, bar) in rows), "</svg>", ""])


def _bar(row: int, name: str, bar: Figure, scale: float, unit: str) -> str:
    top = TOP + row * STEP
    middle, base = top + BAR / 2, top + BAR - 4
    kind = "ours" if name.startswith("Leadwire") else "bar"
    low, high = (LABELS + value * scale for value in (bar.low, bar.high))
    parts = [
        f'<text x="{LABELS - 8}" y="{base}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{bar.median * scale:.1f}" height="{BAR}" rx="2"/>',
        f'<text x="{high + 8:.1f}" y="{base}">{number(bar.median)} {escape(unit)}</text>',
    ]
    if high - low > 1:
        parts.append(f'<path class="range" d="M{low:.1f} {middle}H{high:.1f}"/>')
    return re.sub(r"\.0\b", "", "".join(parts))
