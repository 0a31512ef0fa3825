"""What every group of verbs has in hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.store.acts import Acts
from app.store.counts import Counts
from app.store.problems import ProblemLog
from app.store.tables import to_ms
from app.store.views import Views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from app.access import Access
    from app.catalogue import Catalogue
    from app.intake import Intake
    from app.settings import Settings
    from app.store import Store

OWN = ""  # in the place of a destination's name: Leadwire itself


class NotPossible(Exception):  # noqa: N818  (it is an answer to a person)
    """What was asked can't be done; the message says why and what to do instead."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """Store, settings, catalogue, and what wiring knows to make."""

    store: Store
    settings: Settings
    catalogue: Catalogue
    intake: Intake
    access: Access
    kinds: Mapping[str, str]  # configured destinations' types by name
    try_destination: Callable[[str], tuple[str | None, str]]  # catalogue code of what is wrong (None: nothing), a line
    try_alerts: Callable[[], list[dict[str, Any]]]  # a trial alert on every channel: what became of each
    now: Callable[[], datetime]

    @cached_property
    def _views(self) -> Views:
        return Views(self.store)

    @cached_property
    def _acts(self) -> Acts:
        return Acts(self.store)

    @cached_property
    def _counts(self) -> Counts:
        return Counts(self.store)

    @cached_property
    def _problem_log(self) -> ProblemLog:
        return ProblemLog(self.store)

    def _now(self) -> int:
        return to_ms(self.now())

    def see_configured(self, destination: str) -> None:
        """Refuse a destination that nothing is delivered to.

        Raises:
            NotPossible: it is not configured.

        """
        if destination not in self.kinds:
            msg = f"No destination {destination!r} is configured; there are: {', '.join(sorted(self.kinds))}."
            raise NotPossible(msg)
