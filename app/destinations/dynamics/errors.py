"""What Dataverse says when it refuses, read in one place: for a whole call and for one operation of a batch."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from app.destinations.base import DeliveryFailed, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from email.message import Message

# Codes of our own, for what no code of Dataverse says.
UNREADABLE = "dynamics-answer-unreadable"  # a status that promised more than the body held: a page of a proxy, say
INCOMPLETE = "dynamics-answer-incomplete"  # a batch answer in which a lead's part is missing
BATCH_REFUSED = "dynamics-batch-refused"  # several leads together were refused, without saying which is the culprit
COLUMN_UNKNOWN = "dynamics-column-unknown"
COLUMN_READ_ONLY = "dynamics-column-read-only"
COLUMN_TYPE = "dynamics-column-type"
COLUMN_TOO_SHORT = "dynamics-column-too-short"
PICKLIST_VALUE = "dynamics-picklist-value"
LEAD_TABLE_MISSING = "dynamics-lead-table-missing"

NO_PRIVILEGE = "0x80040220"  # PrivilegeDenied
SAME_KEY = "0x80040237"  # a record with this primary key is there
NOT_THERE = "0x80040217"  # no record has this key
PRIVILEGE_CODES = {NO_PRIVILEGE, "0x80048306"}

_HEX = re.compile(r"\b0x8[0-9a-f]{7}\b", re.IGNORECASE)
_DECIMAL = re.compile(r"-2147\d{6}")
_DETAIL = 2000  # characters that are enough to recognise a text


def _code(told: object, message: str) -> str | None:
    """Give the code as eight lower-case hex digits; documented to be "frequently empty", then the text may hold it."""
    text = told if isinstance(told, str) else str(told) if isinstance(told, int) else ""
    if _DECIMAL.fullmatch(text):  # how the older interfaces write the same number
        return f"0x{int(text) & 0xFFFFFFFF:08x}"
    found = _HEX.search(text) or (None if text.strip() else _HEX.search(message))
    return found.group().lower() if found else text.strip() or None


def read_failure(status: int, headers: Mapping[str, str] | Message, body: bytes, *, now: datetime) -> DeliveryFailed:
    """Read `{"error": {"code", "message"}}`; what isn't of Dataverse has no code, only the beginning of its text.

    Args:
        status: of the HTTP answer, or of one part of a batch answer.
        headers: of the same; names in any letter case must be found.
        body: as it came.
        now: for a `Retry-After` that is a date.

    """
    wait = parse_retry_after(headers.get("Retry-After"), now=now)
    text = body.decode("utf-8", "replace")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    error = told.get("error") if isinstance(told, dict) else None
    if not isinstance(error, dict):
        return DeliveryFailed(None, status=status, detail=text[:_DETAIL], retry_after=wait)
    message = str(error.get("message") or "")
    return DeliveryFailed(_code(error.get("code"), message), status=status, detail=message[:_DETAIL], retry_after=wait)


def unreadable(status: int, body: bytes = b"") -> DeliveryFailed:
    """Name an answer whose status says yes and whose body isn't what a yes looks like."""
    return DeliveryFailed(UNREADABLE, status=status, detail=body[:_DETAIL].decode("utf-8", "replace"))
