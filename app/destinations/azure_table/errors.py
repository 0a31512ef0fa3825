"""What the service and its SDK say when a call fails, read in one place."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from app.destinations.base import DeliveryFailed, network_failure, parse_retry_after

if TYPE_CHECKING:
    from datetime import datetime

    from azure.core.exceptions import AzureError
    from requests import RequestException


def _body(response: Any) -> tuple[str | None, str]:  # noqa: ANN401  (three response classes of azure-core, one shape)
    """Read code and message of an error: odata JSON, the older XML, or the page of something in between."""
    from azure.core.exceptions import AzureError  # noqa: PLC0415  (see AzureTable._connected)

    try:
        text = response.text()
    except (AzureError, ValueError):
        return None, ""
    try:
        error = json.loads(text)["odata.error"]
        return str(error["code"]), str(error["message"]["value"])
    except (ValueError, LookupError, TypeError):
        code = re.search(r"<(?:\w+:)?[Cc]ode>\s*(\w+)", text) or re.search(r"(AADSTS\d+)", text)
        return code and code[1], text[:2_000]


def read_failure(exc: AzureError | RequestException, *, now: datetime) -> DeliveryFailed:
    """Read what an SDK call raised; of `requests`, what breaks off in the middle of a batch answer comes unwrapped.

    The body is read here and not taken from the exception: `create_entity` leaves it undecoded, and the class is
    chosen by status, so that a table being deleted looks like one that exists (azure-data-tables 12.7).
    """
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415  (see AzureTable._connected)
    from azure.data.tables import RequestTooLargeError  # noqa: PLC0415

    response: Any = None if isinstance(exc, OSError) else getattr(exc, "response", None)
    if isinstance(exc, RequestTooLargeError):  # may carry the 202 of a batch answer in which a part says 413
        return DeliveryFailed("RequestBodyTooLarge", status=413)
    if response is not None:
        code, message = _body(response)
        wait = parse_retry_after(response.headers.get("Retry-After"), now=now)
        code = code or response.headers.get("x-ms-error-code")
        return DeliveryFailed(code, status=response.status_code, detail=message, retry_after=wait)
    if isinstance(exc, ClientAuthenticationError):  # no answer of the service: azure-identity found no token
        entra = re.search(r"AADSTS\d+", exc.message)
        return DeliveryFailed(entra[0] if entra else type(exc).__name__, detail=exc.message)
    return network_failure(exc)


def unreadable(response: Any, exc: Exception) -> DeliveryFailed:  # noqa: ANN401  (see _body)
    """Name an answer that the SDK tripped over: a status that promised more than the body held."""
    code = response.headers.get("x-ms-error-code")
    return DeliveryFailed(code, status=response.status_code, detail=f"unreadable answer ({type(exc).__name__})")


def culprit(failure: DeliveryFailed, rows: int) -> int | None:
    """Find the row a transaction was refused for ("3:The entity is …"); None where it is about more than that row.

    The SDK's `index` is no help: it is 0 where the service names none. The service also puts "0:" before a code
    that is about the table.
    """
    named = re.match(r"(\d{1,3}):", failure.detail)
    about_a_row = failure.status in {400, 409, 412} and failure.code != "TableBeingDeleted"
    return int(named[1]) if named and about_a_row and int(named[1]) < rows else None


def hits_all(failure: DeliveryFailed) -> bool:
    """Would the next transaction fail the same way? Then it isn't tried: a second timeout could outlive the lease."""
    status = failure.status
    lasting = status is None or status in {401, 403, 404, 408, 429} or status >= 500  # noqa: PLR2004 (server errors)
    return lasting or failure.code == "TableBeingDeleted"
