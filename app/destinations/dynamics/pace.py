"""The service protection limits of Dataverse, kept before they bite: 6000 requests in any five minutes.

Each operation of a batch counts as a request. The third limit, 52 calls at once, is kept by a lane being one thread.
What another process did as the same user isn't known here: then the service says so, by 429 and `Retry-After`.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REQUESTS = 6000
WINDOW = 300.0  # seconds
LONGEST_PAUSE = 3600.0  # seconds; whoever asks for more is asked again after this


class Pace:
    """Counts requests in a sliding window, and keeps a pause that the service asked for.

    In memory, so a restart begins with an empty window.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, requests: int = REQUESTS, window: float = WINDOW
    ) -> None:
        """Take a clock that never goes back (seconds), and how many requests may fall into how many seconds."""
        self._clock = clock
        self._limit = requests
        self._window = window
        self._spent: deque[tuple[float, int]] = deque()  # when, how many
        self._resume = clock()

    def room(self) -> int:
        """Count the requests that may still be made now: none during a pause."""
        now = self._clock()
        if now < self._resume:
            return 0
        return max(0, self._limit - self.used())

    def used(self) -> int:
        """Count the requests of the window that ends now."""
        now = self._clock()
        while self._spent and self._spent[0][0] + self._window <= now:
            self._spent.popleft()
        return self._total()

    def spend(self, requests: int) -> None:
        """Note requests that were made, after the answer: the service may have counted them as late as that."""
        self._spent.append((self._clock(), requests))

    def pause(self, seconds: float) -> None:
        """Make no requests for the next `seconds`; never shortens a pause."""
        self._resume = max(self._resume, self._clock() + min(max(0.0, seconds), LONGEST_PAUSE))

    def wait(self, requests: int) -> float:
        """Say in how many seconds there is room for so many requests (or for all that fit into a window)."""
        now, free = self._clock(), self._limit - self._total()
        ready = now
        for at, count in self._spent:
            if free >= min(requests, self._limit):
                break
            free += count
            ready = at + self._window
        return max(0.0, ready - now, self._resume - now)

    def _total(self) -> int:
        return sum(count for _, count in self._spent)
