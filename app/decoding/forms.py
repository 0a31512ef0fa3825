"""Forms: percent-encoded, as Web-to-Lead posts them, and multipart."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from app.decoding.plain import Rejection, alphabet, charset, merged, spot, storable_text, wrongly_encoded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message


def read_form(body: bytes, declared: str | None) -> dict[str, Any]:
    """Read a percent-encoded form; `declared` is the header's charset where it is one of `alphabet`.

    Raises:
        Rejection: 400, no encoding in sight fits.

    """
    # Raw bytes beyond ASCII are no form's business, but command-line clients send them.
    split = [piece.replace(b"+", b" ").partition(b"=") for piece in body.split(b"&")]
    pairs = [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in split]
    # Web-to-Lead forms name their encoding in a field.
    named = [alphabet(value.decode("latin-1")) for name, value in pairs if name.lower() == b"encoding"]
    for encoding in dict.fromkeys(("utf-8", declared, *named)):
        try:
            texts = [(name.decode(encoding), value.decode(encoding)) for name, value in pairs] if encoding else None
        except UnicodeDecodeError:
            continue
        if texts is not None:
            return _form((name, value) for name, value in texts if name or value)
    raise wrongly_encoded(_first_undecodable(body, pairs))


def _first_undecodable(body: bytes, pairs: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    at = 0
    for piece, pair in zip(body.split(b"&"), pairs, strict=True):
        try:
            b"=".join(pair).decode()
        except UnicodeDecodeError:
            break
        at += len(piece) + 1
    line, column = spot(body[:at].decode("latin-1"))
    return {"line": line, "column": column, "message": "the field that begins here is not UTF-8"}


def _form(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    return merged([(storable_text(name), storable_text(value)) for name, value in pairs])


def read_multipart(body: bytes, content_type: str) -> dict[str, Any]:
    """Read a multipart form; `content_type` is the whole header.

    Raises:
        Rejection: 400, no parts, or parts that are no text.

    """
    header = re.sub(r"[\r\n]+", " ", content_type).encode("utf-8", "replace")
    message = message_from_bytes(b"Content-Type: " + header + b"\r\n\r\n" + body)
    parts = message.get_payload() if message.is_multipart() else ()
    pairs = [_part(part, number) for number, part in enumerate(parts, 1) if not isinstance(part, str)]
    if not pairs:
        raise Rejection(400, "The form is not well-formed", "The multipart body has no part.")
    return _form(pairs)


def _part(part: Message, number: int) -> tuple[str, str]:
    name = part.get_param("name", "part", header="content-disposition")
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        raise Rejection(400, "The form is not well-formed", f"Part {number} has parts of its own.")
    for encoding in ("utf-8", charset(str(part.get("content-type", "")))):
        try:
            if encoding:
                return collapse_rfc2231_value(name or "part"), payload.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise wrongly_encoded({"message": f"part {number} is not UTF-8"})
