"""Overview: are leads flowing, and if not, what is to be done?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template

from app.operations.overview import KINDS
from app.web.console.chart import chart
from app.web.console.guards import viewer_zone

if TYPE_CHECKING:
    from app.wiring import Wiring

WORKER_SILENT_AFTER = 60  # seconds
DAYS = 14


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer in one sentence; `kind` is good, waiting or bad."""

    kind: str
    text: str
    more: str = ""


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the page."""
    operations = wiring.operations

    @blueprint.get("/")
    def overview() -> str:
        found = operations.overview(days=DAYS, zone=viewer_zone())
        return render_template(
            "console/overview.html",
            **found,
            kinds=KINDS,
            chart=chart(found["days"]),
            headline=headline(found),
            now=operations.now().isoformat(),
        )


def headline(found: dict[str, Any]) -> Headline:
    """Say in one sentence how things stand."""
    silent, open_ = found["worker_silent_seconds"], found["problems"]
    if silent is None or silent > WORKER_SILENT_AFTER:
        seen = (
            "No worker has ever been seen"
            if silent is None
            else f"No worker has been seen for {silent / 60:.0f} minutes"
        )
        return Headline("bad", "Nothing is being delivered", f"{seen}. `leadwire serve` or `leadwire work` starts one.")
    need = sorted(
        {one["destination"] or "Leadwire" for one in open_ if one["held"] or one["dead"] or one["destination"] is None}
    )
    if need:
        what = f"{need[0]} needs you" if len(need) == 1 else f"{len(need)} destinations need you"
        return Headline("bad", what, "Leads are kept, and what waits is delivered by itself after the mend.")
    if open_:
        return Headline("waiting", "Something is being tried again", "Nobody has to act yet.")
    if found["last_lead_at"] is None:
        return Headline("waiting", "No lead has come in yet", "Send a test lead to see one arrive.")
    waiting = sum(card["waiting"] for card in found["destinations"])
    if waiting:
        return Headline("good", "Leads are flowing", f"{waiting:,} on their way right now.")
    return Headline("good", "Leads are flowing", "Everything that came in is where it belongs.")
