"""What follows from how things stand and what was told before: which problems begin and end, and who hears of it.

A cause that comes back soon is the same problem again. The first end of a problem is told at once. One that came back
after that is told once more, and its next end only when it has stayed well for a while: however often it comes and
goes, it makes four alerts and no storm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from app.alerts.troubles import ALERTS_FAILING, ITSELF
from app.store.alerts import RECOVERED
from app.store.watching import Change, Start

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from app.alerts.troubles import Trouble
    from app.store.problems import ProblemRow
    from app.store.watching import Known

OPENED = "opened"
REMINDER = "reminder"
CALM_MS = 15 * 60_000  # what comes back within this was not over


class Say(Protocol):
    """Finds the words of an alert."""

    def __call__(self, kind: str, row: ProblemRow, trouble: Trouble | None, *, again: bool) -> dict[str, Any]:
        """Say what an alert of `kind` says of a problem; `trouble` None: it is over; `again`: it was over before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings ask for, in milliseconds, and the channels there are; `broken` ones don't work right now."""

    after: int
    escalate: Sequence[int]
    channels: Sequence[str]
    broken: Collection[str] = ()

    @property
    def closed_since(self) -> int:
        """Say how long before now an end still matters."""
        return CALM_MS + self.after + CALM_MS

    def level(self, age: int) -> int:
        """Give how many alerts a problem of this age (ms) has earned."""
        return 1 + sum(age >= one for one in self.escalate)

    def channels_for(self, code: str) -> tuple[str, ...]:
        """Name the channels for a problem: that alerts fail is told where they don't."""
        return tuple(one for one in self.channels if code != ALERTS_FAILING or one not in self.broken)


def beginnings(troubles: Sequence[Trouble], known: Known) -> list[Start]:
    """Give what has no open row yet."""
    return [
        Start(destination=one.destination, code=one.code, since=one.since, evidence=one.evidence)
        for one in troubles
        if (one.destination, one.code) not in known.open
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One look's decisions; `seen` holds when each open row last failed, as read before `troubles` were."""

    troubles: Sequence[Trouble]
    seen: Mapping[str, int]
    rules: Rules
    say: Say
    now: int

    def __call__(self, known: Known) -> list[Change]:
        """Decide about every row; what needs nothing is left out."""
        live = self._live
        changes = []
        for key, row in sorted(known.open.items()):
            trouble = live.get(key)
            changes.append(self._gone(row, known) if trouble is None else self._lasts(row, trouble, known))
        changes += [self._over(row, known) for row in known.closed if row.alerted > 0 and not self._back(row, known)]
        return [change for change in changes if change is not None]

    @property
    def _live(self) -> dict[tuple[str, str], Trouble]:
        return {(one.destination, one.code): one for one in self.troubles}

    # What is wrong still.

    def _lasts(self, row: ProblemRow, trouble: Trouble, known: Known) -> Change | None:
        earlier = self._earlier(row, known)
        rank = self._earned(row, trouble)
        if earlier is not None and (earlier.alerted > 0 or rank):
            return self._resumed(earlier, row, trouble)
        most = max(row.most_waiting, trouble.waiting + trouble.dead)
        kind = OPENED if row.alerted == 0 else REMINDER
        told = rank > row.alerted and (kind == OPENED or row.acknowledged_at is None)
        if most == row.most_waiting and not told:
            return None
        if not told:
            return Change(id=row.id, most_waiting=most)
        return Change(
            id=row.id,
            most_waiting=most,
            alerted=rank,
            tell=(kind, self.say(kind, row, trouble, again=False)),
            channels=self.rules.channels_for(row.code),
        )

    def _resumed(self, earlier: ProblemRow, row: ProblemRow, trouble: Trouble) -> Change:
        """Go on with the problem that seemed to be over: silently, if nobody was told that it was."""
        change = Change(
            id=earlier.id,
            merged=row.id,
            most_waiting=max(earlier.most_waiting, row.most_waiting, trouble.waiting + trouble.dead),
        )
        if earlier.alerted > 0:
            return change
        return Change(
            id=change.id,
            merged=change.merged,
            most_waiting=change.most_waiting,
            alerted=self.rules.level(self.now - earlier.opened_at),
            tell=(OPENED, self.say(OPENED, earlier, trouble, again=True)),
            channels=self.rules.channels_for(row.code),
        )

    def _earned(self, row: ProblemRow, trouble: Trouble) -> int:
        """Give how many alerts a problem has earned; none while it may pass by itself, or where nobody can be told."""
        age = self.now - row.opened_at
        waits = row.alerted == 0 and not trouble.at_once and age < self.rules.after
        return 0 if waits or not self.rules.channels_for(row.code) else self.rules.level(age)

    def _earlier(self, row: ProblemRow, known: Known) -> ProblemRow | None:
        """Give the told problem that this one is the return of."""
        if row.alerted > 0:
            return None
        ended = [one for one in known.closed if (one.destination, one.code) == (row.destination, row.code)]
        told = (one for one in reversed(ended) if one.alerted > 0 or one.id in known.over_told)
        return next((one for one in told if row.opened_at - one.closed_at < CALM_MS), None)

    def _back(self, row: ProblemRow, known: Known) -> bool:
        """Whether a closed problem has come back, so that nothing is to be said of its end."""
        fresh = known.open.get((row.destination, row.code))
        return fresh is not None and self._earlier(fresh, known) is row

    # What is wrong no more.

    def _gone(self, row: ProblemRow, known: Known) -> Change | None:
        if self.seen.get(row.id) != row.last_at:
            return None  # it failed while we looked
        if row.alerted > 0 and self._at_once(row, known):
            return self._told_over(row, ended=self.now, closed_if=row.last_at)
        return Change(id=row.id, closed_if=row.last_at)

    def _over(self, row: ProblemRow, known: Known) -> Change | None:
        """Tell the end that was not told when it came."""
        calm = not row.closed_at <= self.now < row.closed_at + CALM_MS
        return self._told_over(row, ended=row.closed_at) if calm or self._at_once(row, known) else None

    def _at_once(self, row: ProblemRow, known: Known) -> bool:
        """Whether an end is told as it comes: not of what came back before, nor while another cause took its place."""
        others = [known.open[key] for key in self._live if key in known.open and key[0] == row.destination != ITSELF]
        replaced = any(other.opened_at >= row.opened_at for other in others)
        return row.id not in known.over_told and not replaced

    def _told_over(self, row: ProblemRow, *, ended: int, closed_if: int | None = None) -> Change:
        said = self.say(RECOVERED, row, None, again=False)
        said |= {"lasted_ms": max(0, ended - row.opened_at)}
        return Change(id=row.id, closed_if=closed_if, alerted=0, tell=(RECOVERED, said), channels=self.rules.channels)
