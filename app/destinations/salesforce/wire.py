"""One HTTP call to Salesforce: bounded in time, read to its end, its daily allowance noted.

simple-salesforce's own calls aren't used: an expired session sends them round in a circle until Python stops it, on
the way they lose the headers that were asked for, and they wait without a limit (measured with 1.12.10).
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from app.destinations.base import CONNECT_TIMEOUT, READ_TIMEOUT, DeliveryFailed, network_failure
from app.destinations.salesforce.errors import read_refusal, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import requests

    from app.destinations.salesforce.signin import Session, SignIn

PATIENCE = 110.0  # seconds for one `send` or `check` with all its calls, well inside the lease
LARGEST = 64 * 1024 * 1024  # bytes of an answer; a describe of a crowded org has one or two million
HOUR = timedelta(hours=1)
_UNAUTHORISED = 401


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end; the names are those that simple-salesforce's login looks for."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class Allowance:
    """How many of the org's calls of a day are used, as `Sforce-Limit-Info` last said; in memory only."""

    def __init__(self, *, reserve_percent: int, now: Callable[[], datetime]) -> None:
        """Take what is left to others."""
        self._share = 1 - reserve_percent / 100
        self._now = now
        self._at: datetime | None = None
        self.counts: list[tuple[int, int]] = []  # used, allowed: the org's, then the app's own where it has one

    def note(self, header: str | None) -> None:
        """Read `api-usage=18/5000; per-app-api-usage=17/250(appName=leads)`."""
        found = re.findall(r"(?:^|[;,\s])(?:per-app-)?api-usage=(\d{1,9})/(\d{1,9})", header or "")
        if found:
            self.counts = [(int(used), int(allowed)) for used, allowed in found]
            self._at = self._now()

    def fullest(self) -> tuple[int, int] | None:
        """Give used and allowed of the count that is nearest to its end; None before Salesforce has told any."""
        told = [(used, allowed) for used, allowed in self.counts if allowed]
        return max(told, key=lambda count: count[0] / count[1], default=None)

    def closed_until(self) -> datetime | None:
        """Say from when to ask again, if no more than what is left to others remains; None if there is room.

        The allowance is counted over a rolling day, so some of it comes back every hour.
        """
        if self._at is None or not any(used >= allowed * self._share > 0 for used, allowed in self.counts):
            return None
        now = self._now()
        return self._at + HOUR if timedelta() <= now - self._at < HOUR else None


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that may pass: until a connection stands, until an answer goes on, for all calls of one `send`."""

    connect: float = CONNECT_TIMEOUT
    read: float = READ_TIMEOUT
    whole: float = PATIENCE


class Wire:
    """Calls of one destination; `begin` starts the clock that all calls until the next `begin` share."""

    def __init__(
        self, http: requests.Session, *, now: Callable[[], datetime], allowance: Allowance, limits: Limits
    ) -> None:
        """Take a session from `http_session`."""
        self._limits = limits
        self._http = http
        self._now = now
        self._allowance = allowance
        self._ends = 0.0

    def begin(self) -> None:
        """Start the clock."""
        self._ends = time.monotonic() + self._limits.whole

    def raw(
        self, method: str, url: str, *, data: str | bytes | dict[str, str] | None, headers: Mapping[str, str]
    ) -> Answer:
        """Make one call and read the whole answer, whatever its status.

        Raises:
            DeliveryFailed: `network.*`, also when the time for all calls is over.

        """
        import requests  # noqa: PLC0415  (only lanes that speak HTTP pay for it)
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  (what reading raises below requests)

        left = self._left()
        wait = (min(self._limits.connect, left), min(self._limits.read, left))
        try:
            # `auth`: else requests would look into ~/.netrc and put what it finds there over our own header.
            with self._http.request(
                method, url, data=data, headers=dict(headers), auth=_as_it_is, timeout=wait, stream=True
            ) as answer:
                body = self._read(answer)
        except (requests.RequestException, HTTPError, OSError) as exc:
            raise network_failure(exc) from None
        self._allowance.note(answer.headers.get("Sforce-Limit-Info"))
        return Answer(answer.status_code, answer.headers, body)

    def refusal(self, answer: Answer) -> DeliveryFailed:
        """Read an answer that isn't a success."""
        return read_refusal(answer.status_code, answer.headers, answer.content, now=self._now())

    def _left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            code = "network.timeout"
            raise DeliveryFailed(code, detail="no time left for another call")
        return left

    def _read(self, answer: requests.Response) -> bytes:
        """Read what has come, again and again: `iter_content` would let a byte a second outwait every timeout."""
        body = bytearray()
        while piece := answer.raw.read1(65536, decode_content=True):
            body += piece
            self._left()
            if len(body) > LARGEST:
                why = "an answer without an end"
                raise unreadable(why, status=answer.status_code)
        return bytes(body)


class Api:
    """Calls of the REST API in a session; a session that is refused is replaced once."""

    def __init__(self, wire: Wire, sign_in: SignIn, *, version: str) -> None:
        """Take what signs in; nothing is called yet."""
        self._wire = wire
        self._sign_in = sign_in
        self._root = f"/services/data/v{version}"

    def session(self) -> Session:
        """Give the session at hand, signing in if there is none."""
        return self._sign_in.get()

    def call(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:  # noqa: ANN401  (any JSON)
        """Make one call below the API's root, or of a whole path that Salesforce named.

        Raises:
            DeliveryFailed: any answer that isn't a success in JSON; a 401 after signing in anew.

        """
        answer = self._once(method, path, body, headers or {})
        if answer.status_code == _UNAUTHORISED:  # not executed, so that even a write may be sent again
            self._sign_in.forget()
            answer = self._once(method, path, body, headers or {})
        if not 200 <= answer.status_code < 300:  # noqa: PLR2004  (successes)
            raise self._wire.refusal(answer)
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError):
            why = "a success that isn't JSON"
            raise unreadable(why, status=answer.status_code) from None

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        session = self._sign_in.get()
        url = session.instance_url + (path if path.startswith("/services/") else self._root + path)
        ours = {"Authorization": f"Bearer {session.token}", "Accept": "application/json"}
        ours |= {"Content-Type": "application/json; charset=UTF-8"} if body is not None else {}
        return self._wire.raw(method, url, data=body, headers=ours | dict(headers))


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
