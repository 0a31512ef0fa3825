"""The sender's own book: what was sent, what was answered; and what must follow from it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Book:
    """Every lead by its number, which stands in its name; ids are what the answers said."""

    sent: set[int] = field(default_factory=set)
    ids: dict[int, set[str]] = field(default_factory=dict)  # what a 202 promised
    unsure: set[int] = field(default_factory=set)  # sent, and the answer never came
    refusals: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # answers that nobody may give
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 0

    def next(self) -> int:
        """Number the next lead."""
        with self._lock:
            self._next += 1
            self.sent.add(self._next)
            return self._next

    def taken(self, number: int, id_: str, status: str) -> None:
        """Note a 202."""
        with self._lock:
            self.ids.setdefault(number, set()).add(id_)
            self.answers[status] += 1

    def refused(self, status: int, title: str | None) -> None:
        """Note an answer that was no 202: it must be our own trouble, and say so."""
        with self._lock:
            self.refusals[f"{status} {title}"] += 1
            if status != 503 or not title:
                self.wrong.append(f"answered {status} {title!r}")

    def unanswered(self, number: int) -> None:
        """Note that a connection broke before the answer."""
        with self._lock:
            self.unsure.add(number)
            self.answers["unanswered"] += 1

    @property
    def accepted(self) -> int:
        """How many leads were promised."""
        return len(self.ids)

    def promised(self) -> dict[str, int]:
        """Every id that was promised, with its lead's number."""
        with self._lock:
            return {id_: number for number, ids in self.ids.items() for id_ in ids}


@dataclass
class Agreement:
    """How a destination agrees with the book."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        book: Book,
        there: list[tuple[str, int]],
        *,
        same_once: bool = True,
        wants: Callable[[int], bool] = lambda _: True,
    ) -> Agreement:
        """Compare what a destination has: (id, number) of each lead, in any order, as often as it has it.

        `wants` tells which numbers are for it.

        `same_once`: a lead that was sent again after a broken answer is still one; not where clocks jumped over the
        time within which the same lead is recognised.
        """
        promised = {id_: number for id_, number in book.promised().items() if wants(number)}
        ids = Counter(id_ for id_, _ in there)
        numbers = Counter(number for _, number in there)
        found = cls()
        found.lost = sorted(promised.keys() - ids.keys())
        found.doubled = sorted(id_ for id_, times in ids.items() if times > 1)
        if same_once:
            found.doubled += [f"lead {number}, {times} times" for number, times in numbers.items() if times > 1]
            found.doubled += [
                f"lead {number} has {len(mine)} ids" for number, mine in book.ids.items() if len(mine) > 1
            ]
        for id_, number in there:
            known = promised[id_] == number if id_ in promised else number in book.unsure
            if not (known and number in book.sent and wants(number)):
                found.unsent.append(id_)
        return found

    def __bool__(self) -> bool:
        """Whether they agree."""
        return not (self.lost or self.doubled or self.unsent)

    def __str__(self) -> str:
        """Say what is wrong, a few of each."""
        return ", ".join(f"{len(ids)} {name} {ids[:3]}" for name, ids in vars(self).items() if ids) or "agrees"
