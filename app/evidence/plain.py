"""Texts of systems made plain: markup and escapes read, one line, a mark where something was taken out."""

from __future__ import annotations

import re
import unicodedata
from html import unescape
from urllib.parse import unquote

MARK = "\ue000"  # stands for "[…]" while a text is worked on; a private character that no system means
_GONE = {"Cf", "Co", "Cn"}  # invisible or without a meaning; within a word they would hide it
_BREAKING = {"Cc", "Cs", "Zl", "Zp"}
# Typographers' quotes are quotes like any other.
_QUOTES = dict.fromkeys(range(0x2018, 0x201C), "'") | dict.fromkeys([*range(0x201C, 0x2020), 0xAB, 0xBB], '"')

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_HIDDEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z!?][^<>]*(?:>|\Z)")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PRINTABLE = re.compile(r"(?:=[89A-F][0-9A-F]){2,}")  # quoted-printable, of letters beyond ASCII only
_ENCODED_WORD = re.compile(r"=\?[\w-]{1,40}\?[BbQq]\?[^?\s]*(?:\?=|\Z)")
_UTF16 = re.compile(r"(?:\\u[0-9A-Fa-f]{4})+")
_BYTE = re.compile(r"(?:\\x[0-9A-Fa-f]{2})+")
_BACKSLASH = re.compile(r"""\\([nrtbf"'/\\])""")
# What JSON says in prose is taken out of its quotes, so that it isn't mistaken for a quoted value.
_PROSE = re.compile(
    r'"(message|error_?description|error_?message|exception_?message|detail|reason|fault_?string)"\s*:\s*'
    r'"((?:[^"\\]|\\.)*)(?:"|\Z)',
    re.IGNORECASE,
)


def tidy(text: str) -> str:
    """Give one line of plain characters: other forms of the same ones (full-width) folded, invisible ones gone."""
    if text.isascii():  # nearly always
        return " ".join(_CONTROL.sub(" ", text).split())
    kept = []
    for char in unicodedata.normalize("NFKC", text).translate(_QUOTES):
        category = unicodedata.category(char)
        if category in _BREAKING:
            kept.append(" ")
        elif category not in _GONE or char == MARK:
            kept.append(char)
    return " ".join("".join(kept).split())


def decoded(text: str) -> str:
    """Take off one layer: markup, then escapes of HTML, URLs, mail and JSON."""
    text = _PROSE.sub(r" \1: \2 ", _TAG.sub(" ", _HIDDEN.sub(" ", text)))
    text = _ENCODED_WORD.sub(MARK, unescape(text))
    text = _PERCENT.sub(lambda found: unquote(found[0], errors="replace"), text)
    text = _PRINTABLE.sub(lambda found: _read(found[0].replace("=", ""), "utf-8"), text)
    text = _UTF16.sub(lambda found: _read(found[0].replace("\\u", ""), "utf-16-be"), text)
    text = _BYTE.sub(lambda found: _read(found[0].replace("\\x", ""), "utf-8"), text)
    return tidy(_BACKSLASH.sub(lambda found: " " if found[1] in "nrtbf" else found[1], text))


def _read(digits: str, encoding: str) -> str:
    return bytes.fromhex(digits).decode(encoding, "replace")


def shown(text: str, *, limit: int) -> str:
    """Write the marks the way people read them, and keep to the length."""
    text = re.sub(rf"{MARK}(?:[\s.,;:+-]*{MARK})+", MARK, text)
    text = " ".join(text.split()).replace(MARK, "[…]")
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
