"""The watch: one process at a time, over all hosts, looks what is wrong, keeps the remediation log and sends alerts.

A worker does it. Where no worker gives a sign of life a receiver does, so that somebody says just that.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from app.alerts.channels import attempt, configured, explained
from app.alerts.plan import Plan, Rules, beginnings
from app.alerts.troubles import FAILING_TRIES, Troubles
from app.alerts.words import Words
from app.log import logger, where_from
from app.store import StoreUnavailable
from app.store.alerts import AlertQueue
from app.store.signs import Signs
from app.store.tables import from_ms, iso, to_ms
from app.store.watching import WatchBook

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from app.alerts.channels import Channel
    from app.alerts.troubles import Trouble
    from app.catalogue import Catalogue
    from app.destinations.base import DeliveryFailed
    from app.settings.model import Alerts
    from app.store import Store
    from app.store.alerts import Queued
    from app.store.watching import Known

log = logger("alerts")
LOOK_EVERY = 5.0  # seconds
STANDING_BY = 15.0  # the same where a worker should do it
SHARE = 10  # a look at a large backlog takes its time: at most a tenth of it all is spent looking
UNSEEN_MS = 60_000  # a worker that was silent for so long is stood in for
WAITS_MS = tuple(minutes * 60_000 for minutes in (1, 5, 15, 60))  # between tries; then hourly for a day, then daily
DAY_MS = 86_400_000
BREATHER_MS = 30_000  # a channel that just failed isn't tried with the next alert at once


@dataclass(kw_only=True)
class Watch:
    """One process's part in the watch. Used by one thread."""

    holder: str  # unlike every other process's
    beside_worker: bool
    store: Store
    settings: Alerts
    kinds: Mapping[str, str]  # configured destinations' types by name
    catalogue: Catalogue
    link: str | None  # where people look at problems
    make_channels: Callable[[], Sequence[Channel]]
    now: Callable[[], datetime]
    _rests_until: dict[str, int] = field(default_factory=dict)
    _looking_since: int | None = None
    _begun: bool = False

    def run(self, stopping: threading.Event) -> None:
        """Look every few seconds until `stopping` is set."""
        pause = LOOK_EVERY if self.beside_worker else STANDING_BY
        while not stopping.is_set():
            begun = time.monotonic()
            try:
                self.look()
            except StoreUnavailable as exc:
                log.error("store.unavailable", reason=str(exc))
            except Exception as exc:  # noqa: BLE001  (a watch that ends by itself would end unseen)
                log.error("watch.crashed", exception=type(exc).__name__, frames=where_from(exc))
            stopping.wait(max(pause, SHARE * (time.monotonic() - begun)))
        self._end()

    def look(self) -> bool:
        """Look once, decide, send what is due; tells whether it was ours to do."""
        now = to_ms(self.now())
        if not self.beside_worker and not self._is_needed(now):
            self._let_go()
            return False
        if not self._book.hold(self.holder, now=now):
            return False
        if not self._begun:
            self._begin(now)
        self._decide(now)
        self._send()
        return True

    def _is_needed(self, now: int) -> bool:
        """Whether no worker has given a sign of life for a while; one that starts as we do is given time."""
        if self._looking_since is None:
            self._looking_since = now
        return now - max(self._signs.worker_seen() or 0, self._looking_since) > UNSEEN_MS

    def _begin(self, now: int) -> None:
        """Have tried at once what failed: a restart may have brought better settings."""
        for name in configured(self.settings):
            self._queue.hurry(name, now=now)
        self._begun = True

    def _let_go(self) -> None:
        """Leave the watch to others at once."""
        if self._begun:
            self._book.let_go(self.holder)
            self._begun = False

    def _end(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # then the lease ends by itself
            self._let_go()
        for channel in self.__dict__.get("_channels", ()):
            channel.close()

    # --- deciding

    def _decide(self, now: int) -> None:
        rules = self._rules()
        since = now - rules.closed_since
        known = self._book.known(closed_since=since, now=now)  # before looking: what fails meanwhile is not over
        troubles = self._troubles.now(now, beside_worker=self.beside_worker)
        plan = self._plan(troubles, known, rules, now)
        starts = beginnings(troubles, known)
        # Most looks find nothing to do, and then nothing is written.
        if starts or plan(known):
            self._made(self._book.decide(self.holder, starts, plan, closed_since=since, now=now))

    def _plan(self, troubles: Sequence[Trouble], known: Known, rules: Rules, now: int) -> Plan:
        words = Words(self.catalogue.get, self.kinds, link=self.link, now=now)
        seen = {row.id: row.last_at for row in known.open.values()}
        return Plan(troubles=troubles, seen=seen, rules=rules, say=words, now=now)

    def _rules(self) -> Rules:
        failing = self._queue.failing()
        return Rules(
            after=_ms(self.settings.after),
            escalate=[_ms(one) for one in self.settings.escalate],
            channels=configured(self.settings),
            broken=[name for name, one in failing.items() if one.tries >= FAILING_TRIES],
        )

    def _made(self, made: Sequence[Queued]) -> None:
        for alert in made:
            log.info("alert.made", **_named(alert))

    # --- sending

    def _send(self) -> None:
        names = [channel.name for channel in self._channels]
        for alert in self._queue.due(now=to_ms(self.now())):
            now = to_ms(self.now())
            resting = now < self._rests_until.get(alert.channel, 0)
            if alert.channel in names and not resting and self._queue.claim(alert, now=now):
                self._sent(alert, self._channels[names.index(alert.channel)])

    def _sent(self, alert: Queued, channel: Channel) -> None:
        failure = attempt(channel, alert.id, alert.said, at=from_ms(alert.made_at))
        now = to_ms(self.now())
        if failure is None:
            self._queue.sent(alert, now=now)
            log.info("alert.sent", **_named(alert), tries=alert.tries + 1)
            return
        entry = explained(failure, channel, self.catalogue)
        again_at = now + _wait(alert, failure, now)
        self._rests_until[channel.name] = now + BREATHER_MS
        self._queue.failed(alert, failure=entry.code, again_at=again_at)
        log.error(
            "alert.failed", **_named(alert), tries=alert.tries + 1, failure=entry.code, status=failure.status,
            again_at=iso(again_at),
        )  # fmt: skip

    @cached_property
    def _book(self) -> WatchBook:
        return WatchBook(self.store)

    @cached_property
    def _queue(self) -> AlertQueue:
        return AlertQueue(self.store)

    @cached_property
    def _signs(self) -> Signs:
        return Signs(self.store)

    @cached_property
    def _troubles(self) -> Troubles:
        return Troubles(self.store, self.settings, self.kinds)

    @cached_property
    def _channels(self) -> Sequence[Channel]:
        return self.make_channels()


def _wait(alert: Queued, failure: DeliveryFailed, now: int) -> int:
    """How long until the next try (ms); never less than the other side asked for, within a day."""
    late = WAITS_MS[-1] if now - alert.made_at < DAY_MS else DAY_MS
    wait = WAITS_MS[alert.tries] if alert.tries < len(WAITS_MS) else late
    return max(wait, min(round((failure.retry_after or 0) * 1000), DAY_MS))


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


def _named(alert: Queued) -> dict[str, object]:
    """Name an alert for the log."""
    return {
        "alert": alert.id,
        "channel": alert.channel,
        "kind": alert.kind,
        "problem": alert.problem_id,
        "destination": alert.said["destination"],
        "code": alert.said["code"],
    }
