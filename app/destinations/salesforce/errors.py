"""What Salesforce says when it refuses, for a whole call and for one record, read in one place.

A refused call has a JSON list of `{errorCode, message, fields}`; one record of a collection has `statusCode` in
place of `errorCode`; the token endpoint speaks OAuth's `{error, error_description}`; what stands in front of
Salesforce, and Salesforce in maintenance, send pages.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from app.destinations.base import DeliveryFailed, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

UNREADABLE = "salesforce-unreadable-answer"  # ours: a success that can't be one
REDIRECTED = "salesforce-redirected"  # ours: the address isn't, or is no longer, the org's own
PICKLIST = "salesforce-picklist-mandatory"  # ours: a required picklist that nothing fills

REQUIRED = "REQUIRED_FIELD_MISSING"
LIMIT = "REQUEST_LIMIT_EXCEEDED"
LIMIT_WAIT = 3600.0  # seconds; the allowance is counted over a rolling day
_LOCKED = "UNABLE_TO_LOCK_ROW"
# What an administrator may have changed since the describe at hand was read.
ABOUT_FIELDS = {
    "INVALID_FIELD",
    "INVALID_FIELD_FOR_INSERT_UPDATE",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    "FIELD_INTEGRITY_EXCEPTION",
    "STRING_TOO_LONG",
    REQUIRED,
    PICKLIST,
}

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,79}")
_DETAIL = 2000  # characters of a text that are enough to recognise it
_BY_STATUS = {300: "DUPLICATE_EXTERNAL_ID", 401: "INVALID_SESSION_ID"}


class Misconfigured(DeliveryFailed):
    """What `check` found wrong with settings or org; `names` are API names of fields, nothing personal."""

    def __init__(self, code: str, names: tuple[str, ...] = (), *, detail: str) -> None:
        """Keep code, fields, and a sentence about them."""
        super().__init__(code, detail=detail, about=detail)
        self.names = names


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> DeliveryFailed:
    """Read an answer that isn't a success."""
    told = _parsed(body)
    first = told[0] if isinstance(told, list) and told else told
    first = first if isinstance(first, dict) else {}
    code = _code(first)
    text = first.get("message") or first.get("error_description") or body[: 4 * _DETAIL].decode("utf-8", "replace")
    if code is None and 300 < status < 400:  # noqa: PLR2004  (redirects)
        code = REDIRECTED
    wait = parse_retry_after(headers.get("Retry-After"), now=now)
    if code == LIMIT:
        wait = max(LIMIT_WAIT, wait or 0.0)
    code = code or _BY_STATUS.get(status)
    return DeliveryFailed(code, status=status, detail=str(text)[:_DETAIL], retry_after=wait)


def read_record(errors: Any, *, status: int) -> DeliveryFailed:  # noqa: ANN401  (any JSON)
    """Read the errors of one record of a collection; where an automation wraps a lock, the lock is what matters."""
    told = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    first = told[0] if told else {}
    text = " | ".join(str(one.get("message") or "") for one in told)[:_DETAIL]
    code = _LOCKED if _LOCKED in text else _code(first)
    return DeliveryFailed(code or UNREADABLE, status=status, detail=text)


def fields_of(errors: Any) -> list[str]:  # noqa: ANN401  (any JSON)
    """Name the fields that the first error of a record is about."""
    first = errors[0] if isinstance(errors, list) and errors else None
    named = first.get("fields") if isinstance(first, dict) else None
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []


def unreadable(why: str, *, status: int = 200) -> DeliveryFailed:
    """Name an answer that promised more than it held."""
    return DeliveryFailed(UNREADABLE, status=status, detail=why)


def _parsed(body: bytes) -> Any:  # noqa: ANN401  (any JSON)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _code(error: Mapping[str, Any]) -> str | None:
    for key in ("errorCode", "statusCode", "error"):
        code = error.get(key)
        if isinstance(code, str) and _CODE.fullmatch(code):
            return code
    return None
