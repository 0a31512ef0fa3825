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
        self._routes = settings.routes
        self._sources = settings.sources
        self._tests = settings.test_leads

    def destinations(self, lead: Lead, *, source: str) -> tuple[str, ...]:
        """Give the names of the destinations of a lead; none for a test lead where those are not delivered."""
        if lead.is_test and not self._tests.deliver:
            return ()
        names = next(
            (route.to for route in self._routes if _matches(route, lead, source=source)),
            self._sources[source].destinations,
        )
        if lead.is_test and self._tests.destinations is not None:
            names = tuple(name for name in names if name in self._tests.destinations)
        return tuple(dict.fromkeys(names))


def _matches(route: Route, lead: Lead, *, source: str) -> bool:
    offers = [text.casefold() for text in (lead.offer, lead.offer_title) if text]
    action = (lead.action_code or "").casefold()
    return (
        (route.source is None or source in route.source)
        and (route.test is None or route.test == lead.is_test)
        and (route.action is None or action in {one.casefold() for one in route.action})
        and (route.offer is None or any(fnmatchcase(text, one.casefold()) for text in offers for one in route.offer))
    )
