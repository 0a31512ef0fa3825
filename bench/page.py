"""The table in `docs/performance.md`, made of `results.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import results
from bench.questions import MODULES, ON_DEMAND, module
from bench.rows import Figure

if TYPE_CHECKING:
    from pathlib import Path

PAGE = results.ROOT / "docs/performance.md"
BEGIN, END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->\n"
HEAD = "| question | figure | to | reach | reached |\n| --- | --- | --- | --- | --- |\n"
VERDICTS = {True: "yes", False: "**no**", None: ""}


def renew(page: Path = PAGE) -> None:
    """Put the latest figures into the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(before + BEGIN + table(results.read()) + END + after)


def table(kept: dict[str, Any]) -> str:
    """Give the table in Markdown, in the order in which the questions are asked."""
    keys = [key for name in (*MODULES, *ON_DEMAND) for key in module(name).QUESTIONS]
    return HEAD + "".join(row(kept[key]) for key in keys if key in kept)


def row(answer: dict[str, Any]) -> str:
    """Give one answer's line."""
    if answer["figure"] is None:
        figure = f"not measured: {answer['not_measured']}"
    else:
        figure = f"{Figure(*answer['figure'])} {answer['unit']}".rstrip()
    cells = (answer["question"], figure, answer["reference"], answer["reach"], VERDICTS[answer["reached"]])
    return f"| {' | '.join(cells)} |\n"
