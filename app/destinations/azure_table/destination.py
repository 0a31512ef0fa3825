"""Azure Table storage: one row a lead, in the columns that Microsoft's own lead writer uses.

Rows are written by insert-or-merge under a key that comes from the lead, so writing again changes nothing and columns
that an operator added stay. Leads of one day share a partition: up to 100 of them travel in one call.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, ClassVar

from app.destinations.azure_table.errors import culprit, hits_all, read_failure, unreadable
from app.destinations.azure_table.rows import MAX_ROWS, Row, keys_of, transactions
from app.destinations.azure_table.settings import AzureTableSchema
from app.destinations.base import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    DeliveryFailed,
    DestinationSchema,
    Erasure,
    Outcome,
    Parcel,
    Sent,
    Tools,
    http_session,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from azure.core.pipeline import PipelineResponse
    from azure.data.tables import TableClient

    from app.destinations.base import Record

    Hook = Callable[[PipelineResponse[Any, Any]], None]

NO_CONTENT = 204


def _read_one(client: TableClient, hook: Hook) -> None:
    """Ask for one row's key, in one request however the service pages."""
    pages = client.list_entities(results_per_page=1, select=["PartitionKey"], raw_response_hook=hook).by_page()
    next(pages, None)


class AzureTable:
    """Writes leads to a table of one storage account, making the table where it is missing."""

    schema: ClassVar[type[DestinationSchema]] = AzureTableSchema
    takes_notices: ClassVar[bool] = False
    max_batch: int = MAX_ROWS
    usage: None = None  # the service's limits are far beyond what leads need, and it doesn't tell how near they are
    connect_timeout: float = CONNECT_TIMEOUT  # seconds
    read_timeout: float = READ_TIMEOUT  # seconds

    def __init__(self, name: str, settings: Mapping[str, Any], tools: Tools) -> None:
        """Take validated settings; nothing is opened before the first call."""
        self._name = name
        self._settings = settings
        self._tools = tools
        self._open = ExitStack()
        self._client: TableClient | None = None

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Write the parcels, one call a day and 100 leads; a lead that is refused leaves its neighbours alone."""
        outcomes: dict[int, Outcome] = {}
        common: DeliveryFailed | None = None
        for rows in transactions(parcels):
            result = dict.fromkeys((row.place for row in rows), common) if common else dict(self._write(rows))
            failures = (one for one in result.values() if isinstance(one, DeliveryFailed))
            common = common or next(filter(hits_all, failures), None)
            outcomes.update(result)
        return [outcomes[place] for place in range(len(parcels))]

    def erase(self, records: Sequence[Record]) -> list[Erasure]:
        """Delete the rows, one call each.

        Raises:
            DeliveryFailed: what one call met; those before it are deleted, and deleting again does no harm.

        """
        return [self._erase(record) for record in records]

    def _erase(self, record: Record) -> Erasure:
        client = self._connected()
        partition, row = keys_of(record.lead_id, record.received_at).values()
        answers: list[PipelineResponse[Any, Any]] = []

        def delete(hook: Hook) -> None:
            def answered(answer: PipelineResponse[Any, Any]) -> None:
                answers.append(answer)
                hook(answer)

            client.delete_entity(partition, row, raw_response_hook=answered)

        self._call(delete, fine={"TableNotFound", "ResourceNotFound", "EntityNotFound"})
        there = bool(answers) and answers[-1].http_response.status_code == NO_CONTENT
        told = "The row is deleted." if there else "There is no such row."
        return Erasure(erased=True, told=told)

    def check(self) -> str:
        """Read one row's key, then try to change a row that is not there: nothing is left behind.

        Raises:
            DeliveryFailed: what `send` would run into.

        """
        from azure.core import MatchConditions  # noqa: PLC0415  (see _connected)

        client = self._connected()
        missing = self._call(lambda hook: _read_one(client, hook), fine={"TableNotFound"})
        nothing = {"PartitionKey": "leadwire-check", "RowKey": "leadwire-check"}
        never = "W/\"datetime'2000-01-01T00%3A00%3A00Z'\""
        if_never = MatchConditions.IfNotModified
        absent = {"TableNotFound", "ResourceNotFound", "EntityNotFound", "UpdateConditionNotSatisfied"}
        change = partial(client.update_entity, nothing, etag=never, match_condition=if_never)
        self._call(lambda hook: change(raw_response_hook=hook), fine=absent)
        found = "not there yet, will be created with the first lead" if missing else "readable and writable"
        return f"account {client.account_name}, table {client.table_name}: {found}"

    def close(self) -> None:
        """Let go of connections."""
        self._client = None
        self._open.close()

    def _connected(self) -> TableClient:
        """Make the client once. Azure's packages are imported here and below: only a lane that needs them pays."""
        if self._client is None:
            from azure.data.tables import TableClient  # noqa: PLC0415

            table, secret, options = self._settings["table"], self._settings["connection_string"], self._options()
            if secret is not None:
                text = secret.reveal().strip("; ")
                client = TableClient.from_connection_string(text, table, **options)
            else:
                client = TableClient(self._settings["account_url"], table, credential=self._identity(), **options)
            self._open.callback(client.close)
            self._client = client
        return self._client

    def _identity(self) -> Any:  # noqa: ANN401  (azure-core's TokenCredential, which isn't imported at the top)
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415

        try:
            credential = DefaultAzureCredential(process_timeout=int(self.connect_timeout), **self._options())
        except ValueError as exc:  # an environment variable of azure-identity's own says something impossible
            raise DeliveryFailed(code="CredentialUnavailableError", detail=str(exc)) from None
        self._open.callback(credential.close)
        return credential

    def _options(self) -> dict[str, Any]:
        """Give what every client is made with: our session and timeouts; no retries, redirects or bodies in a log."""
        from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415

        transport = RequestsTransport(
            session=http_session(self._settings["ca_bundle"]),
            session_owner=True,
            connection_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
        )
        whole = self.connect_timeout + self.read_timeout
        quiet = {"retry_total": 0, "permit_redirects": False, "logging_enable": False}
        return {"transport": transport, "timeout": whole, **quiet}

    def _call(self, call: Callable[[Hook], object], *, fine: Collection[str]) -> str | None:
        """Make one SDK call; a refusal with a code in `fine` is given back, any other raised.

        `call` passes the hook on as `raw_response_hook`, so that it is known what the SDK tripped over.
        """
        from azure.core.exceptions import AzureError  # noqa: PLC0415
        from requests import RequestException  # noqa: PLC0415

        answers: list[PipelineResponse[Any, Any]] = []
        try:
            call(answers.append)
        except (AzureError, RequestException) as exc:
            failure = read_failure(exc, now=self._tools.now())
        except (ValueError, TypeError, LookupError, AttributeError, HTTPException) as exc:
            if not answers:  # it's us then
                raise
            failure = unreadable(answers[-1].http_response, exc)
        else:
            return None
        if failure.code in fine:
            return failure.code
        raise failure

    def _write(self, rows: list[Row]) -> Iterator[tuple[int, Outcome]]:
        """Write rows of one partition: without those that are refused, in halves where they are too large together."""
        left = list(rows)
        while left:
            failure = self._submit(left)
            if failure is None:
                yield from ((row.place, Sent(row.name)) for row in left)
                return
            refused = culprit(failure, len(left))
            if refused is not None:
                yield left.pop(refused).place, failure
            elif failure.status == 413 and len(left) > 1:  # noqa: PLR2004  (content too large)
                half = len(left) // 2
                yield from self._write(left[:half])
                left = left[half:]
            else:
                yield from ((row.place, failure) for row in left)
                return

    def _submit(self, rows: list[Row]) -> DeliveryFailed | None:
        """Send one transaction; where the table is missing, make it and send once more."""
        client = self._connected()

        operations = [("upsert", row.entity, {"mode": "merge"}) for row in rows]

        def write(hook: Hook) -> None:
            written = client.submit_transaction(operations, raw_response_hook=hook)
            if len(written) != len(rows):
                raise DeliveryFailed(status=202, detail=f"{len(written)} answers to {len(rows)} rows")

        try:
            if self._call(write, fine={"TableNotFound"}):
                self._call(lambda hook: client.create_table(raw_response_hook=hook), fine={"TableAlreadyExists"})
                self._call(write, fine=())
        except DeliveryFailed as failure:
            return failure
        return None
