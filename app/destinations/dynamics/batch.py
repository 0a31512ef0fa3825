"""OData batches as Dataverse takes and gives them: multipart/mixed, an HTTP message in each part.

The operations stand outside any change set, so each succeeds or fails by itself. Answers are matched by the
`Content-ID` that is echoed; in an answer without any, by their order, which Dataverse documents to be ours.
"""

from __future__ import annotations

import json
import re
import uuid
from email.message import Message
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/\d\.\d ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")


class Operation(NamedTuple):
    """One request inside a batch."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class Answer(NamedTuple):
    """One answer inside a batch answer; `headers` finds names in any letter case."""

    status: int
    headers: Message
    body: bytes


def write_batch(operations: Sequence[Operation]) -> tuple[str, bytes]:
    """Give the `Content-Type` and the body of a batch; operations are numbered from 1 by `Content-ID`."""
    boundary = f"batch_{uuid.uuid4()}"
    parts = [_write_part(number, operation) for number, operation in enumerate(operations, 1)]
    delimiter = f"--{boundary}".encode()
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"
    return f'multipart/mixed; boundary="{boundary}"', body


def _write_part(number: int, operation: Operation) -> bytes:
    body = json.dumps(operation.body, ensure_ascii=False, allow_nan=False).encode()
    # Without the length, Dataverse has been seen to lose a part's end (0x80048d19).
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **operation.headers}
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: {number}",
        "",
        f"{operation.method} {operation.url} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def read_batch(content_type: str, body: bytes, *, count: int) -> list[Answer | None] | None:
    """Give the answer to each of `count` operations, None where there is none that can be read.

    Gives None for all when the body is no batch answer, such as a page of HTML.
    """
    boundary = _boundary(content_type)
    if boundary is None:
        return None
    pieces = _pieces(boundary, body)
    if pieces is None:
        return None
    read = [_read_part(piece) for piece in pieces]
    if len(read) == count and not any(content_id for content_id, _ in read):
        return [answer for _, answer in read]
    found = [[answer for content_id, answer in read if content_id == str(number)] for number in range(1, count + 1)]
    return [answers[0] if len(answers) == 1 else None for answers in found]


def _boundary(content_type: str) -> bytes | None:
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    mixed = header.get_content_type() == "multipart/mixed"
    return boundary.encode("ascii", "replace") if mixed and boundary else None


def _pieces(boundary: bytes, body: bytes) -> list[bytes] | None:
    """Cut at the delimiters; a part that isn't followed by another delimiter was cut off and doesn't count."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    marks = list(delimiter.finditer(body))
    if not marks:
        return None
    ends = next((place for place, mark in enumerate(marks) if mark[1]), len(marks) - 1)
    return [body[marks[place].end() : marks[place + 1].start()] for place in range(ends)]


def _read_part(piece: bytes) -> tuple[str | None, Answer | None]:
    """Read a part: its `Content-ID` wherever it stands, and its answer if it is one."""
    outer, message = _split(piece.lstrip(b"\r\n"))
    status = _STATUS_LINE.match(message)
    if status is None or outer.get_content_type() != "application/http":
        return _content_id(outer), None
    inner, content = _split(message[status.end() :])
    return _content_id(outer) or _content_id(inner), Answer(int(status[1]), inner, content.strip())


def _split(text: bytes) -> tuple[Message, bytes]:
    """Part headers from what follows them; there may be no headers, and nothing behind them."""
    if text[:1] in {b"\r", b"\n", b""}:
        return Message(), text.lstrip(b"\r\n")
    found = _EMPTY_LINE.search(text)
    head, rest = (text[: found.start()], text[found.end() :]) if found else (text, b"")
    return BytesHeaderParser().parsebytes(head + b"\r\n\r\n"), rest


def _content_id(headers: Message) -> str | None:
    found = headers.get("Content-ID")
    return str(found).strip() if found else None
