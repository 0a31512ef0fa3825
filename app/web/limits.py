"""How much may come from whom: so many a minute for each name, and from which networks.

Whoever has a right key is never refused for what others do: senders don't try again. Each receiver counts by itself.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from app.web.answers import Answer, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from ipaddress import IPv4Network, IPv6Network

MINUTE = 60.0  # seconds
LARGEST = 10_000  # names that are remembered; of more, the ones longest unseen are forgotten
HOUSEHOLD = 64  # bits: an attacker has as many IPv6 addresses as they like, all in one such network
NO_KEY = "Use the whole URL that Leadwire printed: it ends in ?code= and the key. Nothing was kept."


class Limit:
    """So many a minute for each name, and as many at once: the generic cell rate algorithm. For threads, too."""

    def __init__(self, a_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how many; 0 is no limit."""
        self._interval = MINUTE / a_minute if a_minute else 0.0
        self._clock = clock
        self._free_at: OrderedDict[Hashable, float] = OrderedDict()  # when all that a name took is given back

    def take(self, name: Hashable) -> float:
        """Take one; gives 0, or how many seconds there is to wait until there is another."""
        if not self._interval:
            return 0.0
        now = self._clock()
        free_at = max(self._free_at.pop(name, now), now)
        wait = free_at + self._interval - now - MINUTE
        taken = wait <= 1e-9  # noqa: PLR2004  (sums of intervals are not exact)
        self._free_at[name] = free_at + self._interval if taken else free_at
        while len(self._free_at) > LARGEST:
            self._free_at.popitem(last=False)
        return 0.0 if taken else wait


class Strangers:
    """Answers who has no key, or a wrong one: 401, and more than so many a minute from one address 429."""

    def __init__(self, a_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how many; 0 is no limit."""
        self._limit = Limit(a_minute, clock=clock)

    def answer(self, address: str) -> Answer:
        """Refuse one more."""
        wait = self.wait(address)
        if wait:
            return too_many(wait, "Too many wrong keys came from this address. Nothing was kept.")
        return problem(401, "No key, or a wrong one", NO_KEY, headers={"WWW-Authenticate": "Bearer"})

    def wait(self, address: str) -> float:
        """Count one more; gives 0, or how many seconds the address is to wait."""
        return self._limit.take(household(address))


def too_many(wait: float, detail: str) -> Answer:
    """Answer 429, with when to come again (seconds)."""
    return problem(429, "Too many requests", detail, headers={"Retry-After": str(math.ceil(wait))})


def caller(scope: Any, proxies: int) -> str:  # noqa: ANN401  (ASGI)
    """Give the address that a request comes from: with `proxies` of ours in front, the one that the first of them saw.

    Each proxy adds one at the end of X-Forwarded-For; what stands before those may be anybody's invention.
    """
    client = scope.get("client")
    peer = client[0] if client else ""
    if not proxies:
        return str(peer)
    told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
    forwarded = [one.strip() for one in told.split(",") if one.strip()]
    return forwarded[-proxies] if len(forwarded) >= proxies else str(peer)


def within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Tell whether an address belongs to one of the networks; what is no address belongs to none."""
    ip = _parsed(address)
    return ip is not None and any(ip in network for network in networks if network.version == ip.version)


def _parsed(address: str) -> Any:  # noqa: ANN401  (either kind of address, or None)
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip  # how IPv4 looks to who listens on both


def household(address: str) -> str:
    """Give what an address counts for: itself, or of IPv6 the network that belongs to the same people."""
    ip = _parsed(address)
    return str(ip_network((ip, HOUSEHOLD), strict=False)) if isinstance(ip, IPv6Address) else str(ip or address)
