"""From bytes to a plain document: encodings, JSON, forms; every way in which that fails is a Rejection."""

from __future__ import annotations

import codecs
import json
import math
import re
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl

MAX_DEPTH = 256  # what any JSON library downstream still reads
MAX_EXACT_DIGITS = 15  # a longer number would lose digits in other systems' floats: it stays text
JSON_TYPES = re.compile(r"(application|text)/([\w.-]+\+)?json")
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
UNDECLARED_TYPES = ("", "application/octet-stream")  # nobody said what it is: look
_CHARSETS = frozenset({"iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"})
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL takes no NUL in text, nothing encodes half a pair


class Rejection(Exception):  # noqa: N818  (it is an answer before it is an error)
    """Why a body is no lead: an HTTP status, a title, a sentence, and errors with path, line and column where known."""

    def __init__(self, status: int, title: str, detail: str, *, errors: list[dict[str, Any]] | None = None) -> None:
        """Keep the parts; none of them may repeat what the sender wrote."""
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors or []


def media_type(content_type: str) -> str:
    """Give the type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def read_body(body: bytes, content_type: str) -> object:
    """Read JSON or a form into dicts, lists, text and numbers, all of which every database can hold.

    Raises:
        Rejection: 415 neither JSON nor a form, 400 not well-formed or wrongly encoded.

    """
    kind = media_type(content_type)
    declared_json = JSON_TYPES.fullmatch(kind) is not None
    # A JSON body under a form's name is what command-line clients send when no type is given.
    looks_json = body.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1] in (b"{", b"[")
    if declared_json or (looks_json and kind in (*UNDECLARED_TYPES, FORM_TYPES[0])):
        return _read_json(_decode(body, _charset(content_type)))
    if kind == FORM_TYPES[0]:
        return _read_form(body, _charset(content_type))
    if kind == FORM_TYPES[1]:
        return _read_multipart(body, content_type)
    if kind in UNDECLARED_TYPES:
        raise Rejection(400, "The body is neither JSON nor a form", "It begins with neither { nor [.")
    raise Rejection(
        415, "This content type is not taken", "Send application/json or application/x-www-form-urlencoded."
    )


def _charset(content_type: str) -> str | None:
    message = EmailMessage()
    try:
        message["Content-Type"] = content_type
        name = codecs.lookup(message.get_content_charset() or "").name
    except (LookupError, ValueError, TypeError):
        return None
    return name if name in _CHARSETS else None


def _decode(body: bytes, declared: str | None) -> str:
    detected = json.detect_encoding(body)
    for encoding in (detected, declared):
        try:
            return body.decode(encoding or detected)
        except UnicodeDecodeError as exc:
            failure = exc
    before = body[: failure.start]
    line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
    message = f"byte {failure.start} is not valid {failure.encoding.upper()}"
    raise Rejection(
        400, "The body is wrongly encoded", "Send UTF-8.", errors=[{"line": line, "column": column, "message": message}]
    )


def _read_json(text: str) -> object:
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=str
        )
    except json.JSONDecodeError as exc:
        # The parser's words are a fixed set ("Expecting ',' delimiter"): none repeats the body.
        where = {"line": exc.lineno, "column": exc.colno, "message": exc.msg}
        detail = f"{exc.msg} at line {exc.lineno}, column {exc.colno}."
        raise Rejection(400, "The body is not valid JSON", detail, errors=[where]) from None
    return _storable(document)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict where the last of equal keys that says something wins; the others stay, as `key#2` and so on."""
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    made = {}
    for key, value in pairs:
        if made.get(key) not in (None, "", value) and value not in (None, ""):
            number = next(n for n in range(2, len(pairs) + 2) if f"{key}#{n}" not in made)
            made[f"{key}#{number}"] = made[key]
        if value not in (None, "") or key not in made:
            made[key] = value
    return made


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_EXACT_DIGITS else digits


def _float(text: str) -> float | str:
    return float(text) if len(text) <= MAX_EXACT_DIGITS and math.isfinite(float(text)) else text


def _storable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  (any JSON value)
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if depth > MAX_DEPTH:
        raise Rejection(
            400, "The body is nested too deeply", f"At most {MAX_DEPTH} objects or lists inside each other."
        )
    if isinstance(value, dict):
        return {_storable(key): _storable(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_storable(one, depth + 1) for one in value]
    return value


def _read_form(body: bytes, declared: str | None) -> object:
    try:
        text = body.decode("ascii")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            # Web-to-Lead forms name their encoding in a field (facts V6).
            named = dict(parse_qsl(text, encoding="latin-1")).get("encoding", "")
            fallback = declared or _charset(f"text/plain; charset={named}") or "utf-8"
            pairs = parse_qsl(text, keep_blank_values=True, encoding=fallback, errors="strict")
    except UnicodeDecodeError as exc:
        where = {"line": 1, "column": exc.start + 1, "message": "not percent-encoded UTF-8"}
        raise Rejection(400, "The form is wrongly encoded", "Send percent-encoded UTF-8.", errors=[where]) from None
    return _storable(_object(pairs))


def _read_multipart(body: bytes, content_type: str) -> object:
    message = BytesParser(policy=policy.HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    pairs = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            pairs.append((name, payload.decode("utf-8", "replace")))
    if not pairs:
        raise Rejection(400, "The form is not well-formed", "No part of the multipart body has a name and a value.")
    return _storable(_object(pairs))
