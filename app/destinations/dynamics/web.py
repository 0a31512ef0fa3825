"""One call of the Web API: with a token, a time limit and the service's pace, and every refusal read."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from app.destinations.base import DeliveryFailed, http_session, network_failure
from app.destinations.dynamics.errors import UNREADABLE, read_failure, unreadable
from app.destinations.entra import EntraToken, EntraUserToken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import requests

    from app.destinations.dynamics.pace import Pace

API = "/api/data/v9.2"
SIGN_IN_TIMEOUT = (10.0, 15.0)  # seconds to connect, to answer: two such calls must leave time for the batch
_MAX_BYTES = 64 * 1024 * 1024  # of an answer
_UNAUTHORISED = 401
_HEADERS = {"OData-MaxVersion": "4.0", "OData-Version": "4.0", "Accept": "application/json"}


class Answer(NamedTuple):
    """A success; `headers` finds names in any letter case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class SignInFailed(DeliveryFailed):
    """There is no token, so nothing was asked of the environment."""


class Web:
    """The Web API of one environment. Nothing is imported or called before the first `call`."""

    def __init__(self, settings: Mapping[str, Any], *, now: Callable[[], datetime], pace: Pace) -> None:
        """Take validated settings, the wall clock (for dates in `Retry-After`), and what counts requests."""
        self.base = f"{settings['url']}{API}"
        self._settings = settings
        self._now = now
        self._pace = pace
        self._session: requests.Session | None = None
        self._token: EntraToken | None = None

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        requests: int = 1,
        timeout: tuple[float, float],
        deadline: float,
    ) -> Answer:
        """Make a call; a token that isn't taken is asked for anew, once.

        Args:
            method: of HTTP.
            path: below `base`, with its slash.
            body: what to send.
            headers: besides the ones every call has.
            requests: as how many the service counts it.
            timeout: seconds to connect, and to wait for an answer.
            deadline: on the monotonic clock; no answer is waited for, and no reading goes on, beyond it.

        Raises:
            SignInFailed: no token could be had.
            DeliveryFailed: anything else but a success.

        """
        for renewed in (False, True):
            token = self._bearer()
            try:
                answer = self._once(
                    method,
                    path,
                    body=body,
                    headers={**_HEADERS, **(headers or {}), "Authorization": f"Bearer {token}"},
                    timeout=(timeout[0], max(1.0, min(timeout[1], deadline - time.monotonic()))),
                    deadline=deadline,
                )
            finally:  # what was cut off may have been counted all the same
                self._pace.spend(requests)
            if answer.status != _UNAUTHORISED or renewed:
                break
            self._tokens().forget()  # it may be withdrawn before its time
        return self._success(answer)

    def read(self, path: str, *, timeout: tuple[float, float], deadline: float) -> dict[str, Any]:
        """Get a JSON object.

        Raises:
            DeliveryFailed: as of `call`, and where the answer isn't one.

        """
        answer = self.call("GET", path, timeout=timeout, deadline=deadline)
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise unreadable(answer.status, answer.body)
        return told

    def close(self) -> None:
        """Let go of connections and tokens."""
        if self._session is not None:
            self._session.close()
        self._session = self._token = None

    def _success(self, answer: Answer) -> Answer:
        if 200 <= answer.status < 300:  # noqa: PLR2004
            return answer
        failed = read_failure(answer.status, answer.headers, answer.body, now=self._now())
        if failed.retry_after:
            self._pace.pause(failed.retry_after)
        raise failed

    def _once(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: tuple[float, float],
        deadline: float,
    ) -> Answer:
        import requests  # noqa: PLC0415  (only lanes that speak HTTP pay for it)
        import urllib3  # noqa: PLC0415

        try:
            with self._http().request(
                method, self.base + path, data=body, headers=headers, timeout=timeout, stream=True
            ) as answer:
                return Answer(answer.status_code, answer.headers, _read(answer, deadline))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise network_failure(exc) from None

    def _http(self) -> requests.Session:
        if self._session is None:
            self._session = http_session(self._settings["ca_bundle"])
        return self._session

    def _bearer(self) -> str:
        try:
            return self._tokens().get()
        except DeliveryFailed as failed:
            page = failed.code is None and failed.status == 200  # noqa: PLR2004  (something in the service's place)
            code = UNREADABLE if page else failed.code
            raise SignInFailed(
                code, status=failed.status, detail=failed.detail, retry_after=failed.retry_after, about=failed.about
            ) from None

    def _tokens(self) -> EntraToken:
        given = self._settings
        if self._token is None:
            common: dict[str, Any] = {name: given[name] for name in ("authority", "tenant_id", "client_id")}
            common |= {"scope": f"{given['url']}/.default", "timeout": SIGN_IN_TIMEOUT}
            common |= {"session": self._http(), "now": self._now}
            if given["auth"] == "user":
                self._token = EntraUserToken(username=given["username"], password=given["password"], **common)
            else:
                self._token = EntraToken(secret=given["client_secret"], certificate=given["certificate"], **common)
        return self._token


def _read(answer: requests.Response, deadline: float) -> bytes:
    """Read a body to its end, unless it drips on beyond the deadline or has no end.

    By `read1`: `iter_content` would wait for a whole chunk, however slowly its bytes come (urllib3 2.8).
    """
    chunks, size = [], 0
    while chunk := answer.raw.read1(65536, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BYTES:
            raise unreadable(answer.status_code)
        if time.monotonic() > deadline:
            raise DeliveryFailed(code="network.timeout", detail="the answer was still coming")
    return b"".join(chunks)
