"""The chart of leads per day, drawn here as SVG: no script, no style of its own, readable as a table too."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from app.operations.overview import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 760, 220  # of the drawing's own units
LEFT, BOTTOM, TOP = 44, 24, 8
LINES = 4
THIN = 16  # more days than these are named only every third


def chart(days: Sequence[dict[str, Any]]) -> Markup:
    """Draw stacked bars of the kinds of leads, a bar a day."""
    most = max((_sum(day) for day in days), default=0)
    top = _round_up(most)
    room, step = HEIGHT - BOTTOM - TOP, (WIDTH - LEFT) / max(1, len(days))
    parts = [_line(top * number // LINES, top=top, room=room) for number in range(LINES + 1)]
    parts += [_bar(day, LEFT + index * step, step, room / top) for index, day in enumerate(days)]
    every = 3 if len(days) > THIN else 1
    parts += [
        Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            LEFT + (index + 0.5) * step, HEIGHT - 6, _short(day["day"])
        )
        for index, day in enumerate(days)
        if (len(days) - 1 - index) % every == 0
    ]
    title = f"Leads per day, {days[0]['day']} to {days[-1]['day']}" if days else "Leads per day"
    return Markup(
        '<svg class="lw-chart" viewBox="0 0 {} {}" role="img" aria-label="{}; the table below tells them">{}</svg>'
    ).format(WIDTH, HEIGHT, title, Markup().join(parts))


def _sum(day: dict[str, Any]) -> int:
    return sum(int(day[kind]) for kind in KINDS)


def _round_up(most: int) -> int:
    """Give a round number for the top line, at least one a line."""
    size = 1
    while True:
        for factor in (4, 8, 12, 16, 20, 24, 32, 40):
            if most <= factor * size:
                return factor * size
        size *= 10


def _line(value: int, *, top: int, room: float) -> Markup:
    y = HEIGHT - BOTTOM - room * value / top
    return Markup(
        '<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>'
        '<text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
    ).format(LEFT, WIDTH, y, LEFT - 6, y + 4, f"{value:,}")


def _bar(day: dict[str, Any], x: float, step: float, scale: float) -> Markup:
    y, parts = float(HEIGHT - BOTTOM), []
    for kind in KINDS:
        height = day[kind] * scale
        y -= height
        if height:
            parts.append(
                Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    kind, x + step * 0.18, y, step * 0.64, height
                )
            )
    told = ", ".join(f"{day[kind]:,} {kind}" for kind in KINDS if day[kind]) or "none"
    return Markup("<g><title>{}: {}</title>{}</g>").format(day["day"], told, Markup().join(parts))


def _short(day: str) -> str:
    given = date.fromisoformat(day)
    return f"{given.day} {given:%b}"
