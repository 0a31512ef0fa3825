"""Where a lead goes: routes in order, the first match wins, else the source's destinations."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.lead import Lead
    from app.settings import Route, Settings


class Router:
    """The rules of `[[routes]]`, `[sources]` and `[test_leads]`."""

    def __init__(self, settings: Settings) -> None:
        """Take the rules as configured."""
        self._rules = [_Rule(route) for route in settings.routes]
        self._sources = settings.sources
        self._tests = settings.test_leads

    def destinations(self, lead: Lead, *, source: str) -> tuple[str, ...]:
        """Give the names of the destinations of a lead; none for a test lead where those are not delivered.

        Raises:
            KeyError: no rule matches and the source is not configured (any more).

        """
        test = lead.is_test
        if test and not self._tests.deliver:
            return ()
        matching = next((rule.to for rule in self._rules if rule.matches(lead, source=source)), None)
        names = self._sources[source].destinations if matching is None else matching
        if test and self._tests.destinations is not None:
            names = tuple(name for name in names if name in self._tests.destinations)
        return tuple(dict.fromkeys(names))


class _Rule:
    """One route, letter case already out of the way."""

    def __init__(self, route: Route) -> None:
        self.to = route.to
        self._test = route.test
        self._sources = route.source
        self._actions = None if route.action is None else {action.casefold() for action in route.action}
        self._offers = None if route.offer is None else [pattern.casefold() for pattern in route.offer]

    def matches(self, lead: Lead, *, source: str) -> bool:
        """Whether every given condition holds."""
        return (
            (self._sources is None or source in self._sources)
            and (self._test is None or self._test == lead.is_test)
            and (self._actions is None or (lead.action_code or "").casefold() in self._actions)
            and (self._offers is None or self._offered(lead, self._offers))
        )

    def _offered(self, lead: Lead, patterns: list[str]) -> bool:
        names = {text.casefold() for text in (lead.offer, lead.offer_title) if text}
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
