"""What is asked, what was found, and how the two are shown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class MissingError(Exception):
    """A part that a question needs can't be had here; the message says which and what mends it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of what several rounds gave, and its range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """Sum up rounds."""
        rounds = list(values)
        return cls(statistics.median(rounds), min(rounds), max(rounds))

    @classmethod
    def paired(cls, ours: Iterable[float], reference: Iterable[float]) -> Figure:
        """Sum up the ratio of each round to the reference's round beside it."""
        return cls.of(one / other for one, other in zip(ours, reference, strict=True))

    def __str__(self) -> str:
        """Write it with three digits, and the range where there is one."""
        shown = number(self.median)
        return shown if self.low == self.high else f"{shown} ({number(self.low)} to {number(self.high)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row of the table before it is measured; `unit` is the figure's, empty for a ratio."""

    asks: str
    reference: str = ""
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, figure: Figure) -> bool | None:
        """Tell whether the median is where it should be; None: nothing was promised."""
        if self.at_least is not None:
            return figure.median >= self.at_least
        return None if self.at_most is None else figure.median <= self.at_most

    @property
    def reach(self) -> str:
        """Write what is promised."""
        if self.at_least is not None:
            return f"≥ {number(self.at_least)} {self.unit}".rstrip()
        return "" if self.at_most is None else f"≤ {number(self.at_most)} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer to the question `key`: its figure, and in `bars` what it was made of, in one `unit`."""

    key: str
    figure: Figure | None
    bars: Mapping[str, Figure] = field(default_factory=dict)
    unit: str = ""
    why: str = ""  # there is no figure


def not_measured(key: str, why: str) -> Found:
    """Say that a question can't be answered here."""
    return Found(key=key, figure=None, why=why)


def number(value: float) -> str:
    """Write a number with three digits, or whole where it is large: 0.613, 21.4, 4,120."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def line(question: Question, found: Found) -> tuple[str, str, str, str, str]:
    """Give the table's cells: question, figure, reference, reach, reached or not."""
    if found.figure is None:
        return (question.asks, f"not measured: {found.why}", question.reference, question.reach, "NO FIGURE")
    verdict = {True: "reached", False: "NOT REACHED", None: ""}[question.reached(found.figure)]
    return (question.asks, f"{found.figure} {question.unit}".rstrip(), question.reference, question.reach, verdict)


HEADINGS = ("question", "figure", "reference (= 1)", "reach", "")
WIDTHS = (66, 26, 38, 9, 0)


def written(cells: tuple[str, ...]) -> str:
    """Put the cells below their headings."""
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
