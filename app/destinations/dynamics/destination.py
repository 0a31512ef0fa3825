"""Dynamics 365: one lead a delivery in the leads table of a Dataverse environment, by its Web API (v9.2).

A lead is created under the delivery's own id by `PATCH … If-None-Match: *`: the second time it is refused because it is
there, so it never comes twice, and what a salesperson has changed since is never overwritten. A call is a batch of
single operations, so a lead that is refused leaves its neighbours alone.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from app.destinations.base import CONNECT_TIMEOUT, DeliveryFailed, DestinationSchema, Erasure, Postponed, Sent, Usage
from app.destinations.dynamics.batch import Operation, read_batch, write_batch
from app.destinations.dynamics.check import check_all
from app.destinations.dynamics.columns import columns_of
from app.destinations.dynamics.errors import BATCH_REFUSED, INCOMPLETE, NOT_THERE, SAME_KEY, read_failure, unreadable
from app.destinations.dynamics.pace import REQUESTS, Pace
from app.destinations.dynamics.settings import DynamicsSchema
from app.destinations.dynamics.web import SignInFailed, Web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.destinations.base import Outcome, Parcel, Record, Tools
    from app.destinations.dynamics.batch import Answer

_CREATED = {201, 204}
_EXISTS = 412
_ABOUT_THE_BATCH = {400, 413}  # statuses of a whole answer that one lead among many may have caused


class Dynamics:
    """The leads table of one environment."""

    schema: ClassVar[type[DestinationSchema]] = DynamicsSchema
    takes_notices: ClassVar[bool] = False
    max_batch: int = 100
    connect_timeout: float = CONNECT_TIMEOUT  # seconds
    read_timeout: float = 75.0  # seconds; a batch of 100 leads, each with its plug-ins, can take a minute
    patience: float = 110.0  # seconds for one `send`, well inside the lease

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        tools: Tools,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take validated settings; `clock` (seconds) is what the service's limits are counted by."""
        self._name = name
        self._settings = settings
        self._tools = tools
        self._pace = Pace(clock=clock)
        self._web = Web(settings, now=tools.now, pace=self._pace)
        self.max_batch = settings["batch_size"]
        self._together = self.max_batch  # leads a call; fewer while a batch was refused as a whole

    def send(self, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        """Create the leads in one call; those that the service's limits leave no room for are postponed.

        Raises:
            DeliveryFailed: the call failed as a whole, and all of the leads were in it.

        """
        take = min(len(parcels), self._together, self._pace.room() - 1)  # the batch itself is a request, too
        outcomes: list[Outcome] = []
        if take > 0:
            try:
                outcomes = self._create(parcels[:take])
            except DeliveryFailed as failed:
                if take == len(parcels):
                    raise
                outcomes = [failed] * take
        rest = len(parcels) - len(outcomes)
        wait = timedelta(seconds=self._pace.wait(min(rest, self._together) + 1))
        return [*outcomes, *[Postponed(self._tools.now() + wait)] * rest]

    def erase(self, records: Sequence[Record]) -> list[Erasure]:
        """Delete the leads, one call each; the user needs the privilege prvDeleteLead.

        Raises:
            DeliveryFailed: what one call met; those before it are deleted, and deleting again does no harm.

        """
        deadline = time.monotonic() + self.patience
        return [self._erase(record, deadline) for record in records]

    def _erase(self, record: Record, deadline: float) -> Erasure:
        path, timeout = f"/leads({uuid.UUID(record.delivery_id)})", (self.connect_timeout, self.read_timeout)
        try:
            self._web.call("DELETE", path, timeout=timeout, deadline=deadline)
        except DeliveryFailed as failed:
            if failed.code != NOT_THERE:
                raise
            return Erasure(erased=True, told="There is no such lead.")
        return Erasure(erased=True, told="The lead is deleted. What was made of it, such as a contact, is not.")

    @property
    def usage(self) -> Usage:
        """What this process has asked of the service in five minutes; others of the same user aren't known here."""
        return Usage(self._pace.used(), REQUESTS, "requests in 5 minutes")

    def check(self) -> str:
        """Sign in, and ask who we are, what we may, and for every column; no lead is written.

        Raises:
            DeliveryFailed: what `send` would run into.

        """
        deadline = time.monotonic() + self.patience
        timeout = (self.connect_timeout, self.read_timeout)
        found = check_all(
            lambda path: self._web.read(path, timeout=timeout, deadline=deadline), self._settings["columns"]
        )
        return f"{self._settings['url']}: {found}"

    def close(self) -> None:
        """Let go of connections."""
        self._web.close()

    def _create(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Send one batch and give each lead's outcome."""
        content_type, body = write_batch([self._operation(parcel) for parcel in parcels])
        try:
            answer = self._web.call(
                "POST",
                "/$batch",
                body=body,
                headers={"Content-Type": content_type, "Prefer": "odata.continue-on-error"},
                requests=len(parcels) + 1,
                timeout=(self.connect_timeout, self.read_timeout),
                deadline=time.monotonic() + self.patience,
            )
        except DeliveryFailed as failed:
            raise self._of_all(failed, len(parcels)) from None
        parts = read_batch(answer.headers.get("Content-Type", ""), answer.body, count=len(parcels))
        if parts is None:
            raise unreadable(answer.status, answer.body)
        self._together = self.max_batch
        return [self._outcome(parcel, part) for parcel, part in zip(parcels, parts, strict=True)]

    def _operation(self, parcel: Parcel) -> Operation:
        headers = {"If-None-Match": "*"}
        if self._settings["detect_duplicates"]:
            headers["MSCRM.SuppressDuplicateDetection"] = "false"
        url = f"{self._web.base}/leads({_key(parcel)})"
        return Operation("PATCH", url, headers, columns_of(parcel, self._settings["columns"]))

    def _of_all(self, failed: DeliveryFailed, leads: int) -> DeliveryFailed:
        """Name a failure of the whole call so that no lead is given up for what its neighbour did.

        The next calls are half as large, down to one lead: then the refusal speaks of that one.
        """
        if leads == 1 or failed.status not in _ABOUT_THE_BATCH or isinstance(failed, SignInFailed):
            return failed
        self._together = max(1, leads // 2)
        return DeliveryFailed(BATCH_REFUSED, status=failed.status, detail=failed.detail)

    def _outcome(self, parcel: Parcel, part: Answer | None) -> Outcome:
        key = _key(parcel)
        if part is None:
            return DeliveryFailed(INCOMPLETE, status=200, detail="no readable answer to this lead")
        if part.status in _CREATED:
            return Sent(key) if _speaks_of(key, part) else DeliveryFailed(INCOMPLETE, status=200)
        failed = read_failure(part.status, part.headers, part.body, now=self._tools.now())
        if part.status == _EXISTS and failed.code in {None, SAME_KEY}:
            return Sent(key)  # by an earlier attempt: the key is this delivery's own
        if failed.retry_after:
            self._pace.pause(failed.retry_after)
        return failed


def _key(parcel: Parcel) -> str:
    return str(uuid.UUID(parcel.delivery_id))


def _speaks_of(key: str, part: Answer) -> bool:
    """Tell whether an answer is about this lead, as far as it names one."""
    named = part.headers.get("OData-EntityId")
    return named is None or key in str(named).lower()
