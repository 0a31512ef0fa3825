"""What every group of verbs has in hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from app.store.acts import Acts
from app.store.arrival import person_key
from app.store.counts import Counts
from app.store.problems import ProblemLog
from app.store.sorting import Sorter
from app.store.tables import to_ms
from app.store.views import Views

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from app.access import Access
    from app.catalogue import Catalogue
    from app.destinations.base import Destination
    from app.intake import Intake
    from app.settings import Settings
    from app.store import Store

SEAL_BROKEN = "It can't be read: {}. Restore a backup of the store, or discard it."
_ADDRESS = re.compile(r"[^\s<>(),;:]+@[^\s<>(),;:@]+")
OWN = ""  # in the place of a destination's name: Leadwire itself


class _Stored(NamedTuple):
    """What the store shows and lets do once everything that came is sorted in."""

    views: Views
    acts: Acts
    counts: Counts


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
    destination: Callable[[str], Destination]  # makes a configured one
    try_alerts: Callable[[], list[dict[str, Any]]]  # a trial alert on every channel: what became of each
    now: Callable[[], datetime]

    @property
    def _views(self) -> Views:
        self._sorter.catch_up()
        return self._stored.views

    @property
    def _acts(self) -> Acts:
        self._sorter.catch_up()
        return self._stored.acts

    @property
    def _counts(self) -> Counts:
        self._sorter.catch_up()
        return self._stored.counts

    @cached_property
    def _sorter(self) -> Sorter:
        return Sorter(self.store)

    @cached_property
    def _stored(self) -> _Stored:
        return _Stored(Views(self.store), Acts(self.store), Counts(self.store))

    @cached_property
    def _problem_log(self) -> ProblemLog:
        return ProblemLog(self.store)

    def _now(self) -> int:
        return to_ms(self.now())

    def _person_key(self, email: str) -> bytes:
        """Give the keyed hash of a whole address: beside a part, or a name, others of this person would be missed.

        Raises:
            NotPossible: that is none.

        """
        if not _ADDRESS.fullmatch(email.strip()) or (key := person_key(self.store, email)) is None:
            msg = "Give a whole e-mail address and nothing beside it, such as someone@contoso.com."
            raise NotPossible(msg)
        return key

    def see_configured(self, destination: str) -> None:
        """Refuse a destination that nothing is delivered to.

        Raises:
            NotPossible: it is not configured.

        """
        if destination not in self.kinds:
            msg = f"No destination {destination!r} is configured; there are: {', '.join(sorted(self.kinds))}."
            raise NotPossible(msg)
