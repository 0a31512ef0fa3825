"""From bytes to a document: which encoding, which kind, and JSON itself."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any

from app.decoding.forms import read_form, read_multipart
from app.decoding.plain import MAX_DEPTH, Rejection, charset, spot, storable, unpaired, wrongly_encoded

MAX_EXACT_DIGITS = 15  # a longer number would lose digits in other systems' floats: it stays text
JSON_TYPES = re.compile(r"(application|text)/([\w.-]+\+)?json")
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
UNDECLARED_TYPES = ("", "application/octet-stream")  # nobody said what it is: look
_MISSING_COMMA = "Expecting ',' delimiter"


@lru_cache(maxsize=64)  # senders have few
def media_type(content_type: str) -> str:
    """Give the type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


@lru_cache(maxsize=64)
def is_json(kind: str) -> bool:
    """Tell whether a media type says JSON."""
    return JSON_TYPES.fullmatch(kind) is not None


def read_body(body: bytes, content_type: str) -> object:
    """Read JSON or a form into dicts, lists, text and numbers, all of which every database can hold.

    Raises:
        Rejection: 415 neither JSON nor a form, 400 not well-formed or wrongly encoded.

    """
    kind = media_type(content_type)
    declared_json = is_json(kind)
    # A JSON body under a form's name is what command-line clients send when no type is given.
    looks_json = body.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1] in (b"{", b"[")
    if declared_json or (looks_json and kind in (*UNDECLARED_TYPES, FORM_TYPES[0])):
        return read_json(_decode(body, charset(content_type)))
    if kind == FORM_TYPES[0]:
        return read_form(body, charset(content_type))
    if kind == FORM_TYPES[1]:
        return read_multipart(body, content_type)
    if kind in UNDECLARED_TYPES:
        raise Rejection(400, "The body is neither JSON nor a form", "It begins with neither { nor [.")
    raise Rejection(
        415, "This content type is not taken", "Send application/json or application/x-www-form-urlencoded."
    )


def _decode(body: bytes, declared: str | None) -> str:
    detected = json.detect_encoding(body)
    try:
        return body.decode(detected)
    except UnicodeDecodeError as exc:
        failure = exc
    if declared:
        try:
            return body.decode(declared)
        except UnicodeDecodeError:
            pass
    # `object` and not the body: a decoder that took off a byte order mark counts from behind it.
    before = bytes(failure.object[: failure.start])
    line, column = spot(before.decode(detected.removesuffix("-sig"), "ignore").removeprefix("\ufeff"))
    name = detected.removesuffix("-sig").upper()
    message = f"byte {len(body) - len(failure.object) + failure.start} is not valid {name}"
    raise wrongly_encoded({"line": line, "column": column, "message": message})


def read_json(text: str) -> object:
    """Read JSON text into what every database can hold, losing nothing: neither digits nor the first of equal keys.

    Raises:
        Rejection: 400 with line and column.
        RecursionError: thousands of objects or lists inside each other.

    """
    try:
        document = _decoder.decode(text)
    except json.JSONDecodeError as exc:
        where = _where(exc)
        detail = f"Line {where['line']}, column {where['column']}: {where['message']}."
        raise Rejection(400, "The body is not valid JSON", detail, errors=[where]) from None
    # Plain text without escapes can't hold what is not storable, nor be deeper than it has brackets.
    plain = text.isascii() and "\\u" not in text and text.count("{") + text.count("[") <= MAX_DEPTH
    return document if plain else storable(document)


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_EXACT_DIGITS else digits


def _float(text: str) -> float | str:
    return float(text) if len(text) <= MAX_EXACT_DIGITS and math.isfinite(float(text)) else text


_decoder = json.JSONDecoder(object_pairs_hook=unpaired, parse_int=_integer, parse_float=_float, parse_constant=str)


def _where(exc: json.JSONDecodeError) -> dict[str, Any]:
    # The parser's words are a fixed set: none repeats the body.
    line, column, said = exc.lineno, exc.colno, exc.msg.partition(":")[0]
    if said == _MISSING_COMMA:
        # The parser stops at the next thing it finds; what a person has to mend is where the one before ends.
        line, column = spot(exc.doc[: exc.pos].rstrip())
        said = f"{said} (or a closing bracket) after this, before line {exc.lineno}, column {exc.colno}"
    return {"line": line, "column": column, "message": said}
