"""How things are written on every page: times in the viewer's zone, ages, numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from app.web.console.guards import viewer_zone

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE, HOUR, DAY = 60, 3600, 86400


def when(iso: str | None) -> Markup:
    """Write a moment in the viewer's zone; the whole of it stands in the title."""
    if iso is None:
        return Markup('<span class="text-body-secondary">never</span>')
    moment = datetime.fromisoformat(iso).astimezone(viewer_zone())
    zone = moment.tzname() or ""
    return Markup('<time datetime="{}" title="{}">{}{}</time>').format(
        iso, f"{moment:%Y-%m-%d %H:%M:%S} {zone}", f"{moment:%Y-%m-%d %H:%M}", " UTC" if zone == "UTC" else ""
    )


def span(seconds: float) -> str:
    """Write a length of time in its two largest units' first."""
    for size, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second")):
        number = int(seconds // size)
        if number:
            return f"{number} {name}{'' if number == 1 else 's'}"
    return "a moment"


def ago_of(now: Callable[[], datetime]) -> Callable[[str | None], Markup]:
    """Make the filter that says how long ago, or in how long, a moment is."""

    def ago(iso: str | None) -> Markup:
        if iso is None:
            return Markup("never")
        moment = datetime.fromisoformat(iso)
        seconds = (now().astimezone(UTC) - moment).total_seconds()
        text = f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"
        local = moment.astimezone(viewer_zone())
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            iso, f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}", text
        )

    return ago


def prose(text: str) -> Markup:
    """Write the catalogue's sentences: what stands in `back quotes` as code, an address as a link."""
    parts = []
    for index, piece in enumerate(text.split("`")):
        parts.append(Markup("<code>{}</code>").format(piece) if index % 2 else _linked(piece))
    return Markup().join(parts)


def _linked(text: str) -> Markup:
    pieces = re.split(r"(https://[^\s,;]+[^\s,;.:)])", text)
    link = Markup('<a href="{0}" rel="noreferrer noopener">{0}</a>')
    return Markup().join(link.format(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces))


def number(value: float) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,}"
