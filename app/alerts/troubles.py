"""What is wrong right now: at the destinations, and with Leadwire itself (codes `leadwire.*`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.store.alerts import AlertQueue
from app.store.causes import Causes
from app.store.key_uses import KeyUses
from app.store.purging import PurgeBook
from app.store.signs import Signs, moment_of
from app.store.tables import iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.settings.model import Alerts
    from app.store import Store
    from app.store.signs import Oldest

ITSELF = ""  # the destination of what is wrong with Leadwire itself
REMOVED = "leadwire.destination-removed"
NO_LEADS = "leadwire.no-leads"
OLDEST_WAITING = "leadwire.oldest-waiting"
WORKER_NOT_SEEN = "leadwire.worker-not-seen"
ALERTS_FAILING = "leadwire.alerts-failing"
PURGE_FAILING = "leadwire.purge-failing"
UNSORTED = "leadwire.unsorted"
RETIRED_KEY = "leadwire.retired-key-used"

MINUTE_MS = 60_000
DAY_MS = 86_400_000
OVERDUE_MS = 5 * MINUTE_MS  # what is due for so long is not about to be sent
HELD_BACK_MS = 60 * MINUTE_MS  # as long as a digest may hold a lead back on top
FAILING_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One destination (or Leadwire itself, "") in trouble for one reason. Times in milliseconds.

    `at_once`: a person must act, so it is told without waiting whether it passes. `evidence` is what was seen.
    """

    destination: str
    code: str
    since: int
    waiting: int = 0
    dead: int = 0
    next_try: int | None = None
    at_once: bool = True
    evidence: str | None = None


class Troubles:
    """Looks for them in the store; the only thing it writes is since when it looks."""

    def __init__(self, store: Store, settings: Alerts, kinds: Mapping[str, str]) -> None:
        """Take the limits, and the configured destinations' types by name."""
        self._causes = Causes(store)
        self._signs = Signs(store)
        self._queue = AlertQueue(store)
        self._purges = PurgeBook(store)
        self._keys = KeyUses(store)
        self._settings = settings
        self._kinds = kinds

    def now(self, now: int, *, beside_worker: bool) -> list[Trouble]:
        """Give everything that is wrong; `beside_worker`: who asks is a worker, so that there is one."""
        begun = self._signs.first_look(now=now)
        found = [*self._at_destinations()]
        worker = [] if beside_worker else [*self._worker(begun, now)]
        # Who has another explanation needs no second one.
        explained = {trouble.destination for trouble in found}
        late = [] if worker else [*self._late(explained, now), *self._unsorted(now)]
        ours = [*self._quiet(begun, now), *late, *self._untold(), *self._unpurged(now), *self._retired(now)]
        return [*found, *worker, *ours]

    def _at_destinations(self) -> Iterator[Trouble]:
        for cause in self._causes.now():
            if cause.parked and cause.destination not in self._kinds:
                continue  # nobody probes it any more: it counts as removed
            yield Trouble(
                destination=cause.destination,
                code=cause.code,
                since=cause.since,
                waiting=cause.waiting,
                dead=cause.dead,
                next_try=cause.next_try,
                at_once=cause.parked or cause.dead > 0,
            )
        for name, waiting in self._causes.waiting().items():
            if name not in self._kinds:
                yield Trouble(destination=name, code=REMOVED, since=waiting.since, waiting=waiting.number)

    def _worker(self, begun: int, now: int) -> Iterator[Trouble]:
        limit = round(self._settings.worker_minutes * MINUTE_MS)
        seen = self._signs.worker_seen()
        if limit and now - (seen or begun) > limit:
            waiting = sum(one.number for one in self._causes.waiting().values())
            last = f"The last sign of life came {iso(seen)}." if seen else "No worker was ever seen."
            yield Trouble(
                destination=ITSELF, code=WORKER_NOT_SEEN, since=(seen or begun) + limit, waiting=waiting, evidence=last
            )

    def _quiet(self, begun: int, now: int) -> Iterator[Trouble]:
        limit = round(self._settings.quiet_days * DAY_MS)
        last = self._signs.last_arrival()
        since = begun if last is None else last
        if limit and now - since > limit:
            told = f"The last one came {iso(last)}." if last else f"None has come since {iso(begun)}."
            yield Trouble(destination=ITSELF, code=NO_LEADS, since=since + limit, evidence=told)

    def _late(self, explained: set[str], now: int) -> Iterator[Trouble]:
        limit = round(self._settings.oldest_minutes * MINUTE_MS)
        told: set[str] = set()
        for one in self._signs.oldest(overdue=now - min(limit, OVERDUE_MS)) if limit else ():
            allowed = limit + (HELD_BACK_MS if one.put_off else 0)
            known = one.destination in explained or one.destination in told or one.destination not in self._kinds
            if not known and now - one.since > allowed:
                told.add(one.destination)
                yield _late(one, since=one.since + allowed)

    def _unsorted(self, now: int) -> Iterator[Trouble]:
        number, first = self._signs.unsorted()
        if first is not None and now - moment_of(first) > OVERDUE_MS:
            told = f"{number} were answered and are in no list yet, the oldest of them {first}."
            yield Trouble(destination=ITSELF, code=UNSORTED, since=moment_of(first) + OVERDUE_MS, evidence=told)

    def _untold(self) -> Iterator[Trouble]:
        for channel, failing in sorted(self._queue.failing().items()):
            if failing.tries >= FAILING_TRIES:
                told = f"The {channel} did not take {failing.number}, the oldest of {iso(failing.since)}."
                yield Trouble(destination=ITSELF, code=ALERTS_FAILING, since=failing.since, evidence=told)
                return

    def _unpurged(self, now: int) -> Iterator[Trouble]:
        failing = self._purges.failing(now=now)
        if failing is not None and failing.unfinished_since is not None:
            told = f"It failed: {failing.reason}." if failing.reason else "It began and did not end."
            yield Trouble(destination=ITSELF, code=PURGE_FAILING, since=failing.unfinished_since, evidence=told)

    def _retired(self, now: int) -> Iterator[Trouble]:
        uses = self._keys.retired(since=now - DAY_MS)
        if uses:
            told = "; ".join(f"{use.fingerprint} of the source {use.source}, last at {iso(use.at)}" for use in uses[:5])
            yield Trouble(destination=ITSELF, code=RETIRED_KEY, since=uses[-1].at, evidence=f"Keys: {told}.")


def _late(one: Oldest, *, since: int) -> Trouble:
    told = f"Lead {one.lead} waits since {iso(one.since)}."
    return Trouble(destination=one.destination, code=OLDEST_WAITING, since=since, waiting=one.waiting, evidence=told)
