"""Whose data must not be kept: recognising e-mail addresses of withheld domains, in leads and in raw bodies.

In doubt the person wins: what merely looks like an address of such a domain counts as one.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import idna

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.lead import Lead

LONGEST_DOMAIN = 253  # DNS allows no more
_LABEL = r"[A-Za-z0-9_\u0080-\U0010ffff-]+"
# Blanks and (comments) are allowed around the parts of an address, as in `x @ (work) mit . edu`; a slip like `mit..edu`
# hides nobody.
_DOMAINS = re.compile(rf"@(?:[\s.]|\([^()]*\))*({_LABEL}(?:\s*\.[\s.]*{_LABEL})*)")
_ASCII_PART = re.compile(r"[A-Za-z0-9.\s-]+")
_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")
_QUOTED = re.compile(r"=\r?\n|=([0-9A-F]{2})")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_ADDRESS_KEYS = re.compile("mail|user|contact", re.IGNORECASE)


def fold_domain(domain: str) -> str:
    """Give a domain in its ASCII form, lower case, without a closing dot; IDN labels as punycode."""
    text = re.sub(r"\.{2,}", ".", "".join(domain.split())).strip("._-").lower()
    if text.isascii():
        return text
    try:
        return idna.encode(text, uts46=True).decode("ascii").strip(".")
    except idna.IDNAError:
        return re.sub(r"[^a-z0-9.-]", "", text).strip(".-")


def fold_letters(text: str) -> str:
    """Give a text as letters are compared: without case, composed alike, nothing invisible between them."""
    return text.lower() if text.isascii() else _visible(text).casefold()


def fold_address(address: str) -> str:
    """Give the form in which e-mail addresses are compared: letters folded, the domain in ASCII."""
    local, at, domain = fold_letters(address).strip().rpartition("@")
    return f"{local}@{fold_domain(domain)}" if at else domain


def spellings(address: str) -> tuple[str, ...]:
    """Give the ways to write an e-mail address, letters folded: first with its domain in ASCII, then as an IDN."""
    folded = fold_address(address)
    local, _, domain = folded.rpartition("@")
    if "xn--" not in domain:
        return (folded,)
    try:
        return folded, f"{local}@{idna.decode(domain)}"
    except idna.IDNAError:
        return (folded,)


class Withholding:
    """The rule of `[privacy]`: which domains' people are not kept."""

    def __init__(self, domains: Iterable[str]) -> None:
        """Take the configured domains, such as `edu`, `ac.uk` or an IDN."""
        self._domains = tuple(filter(None, (fold_domain(_fold_text(domain)) for domain in domains)))
        self._labels = max((one.count(".") + 1 for one in self._domains), default=0)
        self._withheld = lru_cache(maxsize=1024)(self._is_withheld)  # the same few companies all day

    def of_lead(self, lead: Lead) -> str | None:
        """Give the withheld domain of the lead's e-mail address (or of one in a field beyond it), else None."""
        return self._first([text for text in (lead.email, *_addresses(lead.extra)) if text])

    def of_body(self, body: bytes) -> str | None:
        """Give the first withheld domain of an address that can be seen in a body nobody could parse."""
        return self._first(_readings(body), loose=True) if self._domains else None

    def _first(self, texts: Iterable[str], *, loose: bool = False) -> str | None:
        """Give the first withheld domain; `loose` also cuts one off where other scripts follow without a blank."""
        seen: set[str] = set()
        for text in texts if self._domains else ():
            for found in _DOMAINS.findall(_fold_text(text)):
                cut = _ASCII_PART.match(found) if loose and not found.isascii() else None
                for candidate in (found, cut[0] if cut else ""):
                    if candidate not in seen and self._withheld(candidate):
                        return fold_domain(candidate[-LONGEST_DOMAIN:])
                    seen.add(candidate)
        return None

    def _is_withheld(self, domain: str) -> bool:
        # Only as many labels are looked at as the configured domains have: a body may hold thousands of others.
        labels = [label for label in domain.split(".") if label.strip()][-self._labels :]
        tail = fold_domain(".".join(labels)[-LONGEST_DOMAIN:])
        return any(tail == one or tail.endswith(f".{one}") for one in self._domains)


def _addresses(extra: Any, *, wanted: bool = False) -> Iterator[str]:  # noqa: ANN401  (any JSON value)
    """Texts under keys that speak of a person's address, at any depth."""
    if isinstance(extra, str):
        if wanted:
            yield extra
    elif isinstance(extra, dict):
        for key, value in extra.items():
            yield from _addresses(value, wanted=wanted or _ADDRESS_KEYS.search(key) is not None)
    elif isinstance(extra, list):
        for value in extra:
            yield from _addresses(value, wanted=wanted)


def _fold_text(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = _visible(text)
    return unquote_plus(text) if "%" in text else text


def _visible(text: str) -> str:
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).replace("\u3002", "."))


def _readings(body: bytes) -> Iterator[str]:
    """The body as each encoding would show it, and what shows when the usual disguises of an @ are taken off."""
    # Without NULs, ASCII shows in every UTF-16 and UTF-32, even where half a character is lost.
    texts = [body.replace(b"\0", b"").decode("utf-8", "ignore"), body.decode("latin-1")]
    if b"\0" in body or body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        texts += [body.decode(name, "ignore") for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")]
    for text in texts:
        yield text
        plainer = text
        for _ in range(2):  # one disguise may stand inside another, such as %26%2364%3B
            plainer = unquote_plus(_ESCAPES.sub(_unescaped, html.unescape(plainer)))
            yield plainer
        yield _QUOTED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "", text)


def _unescaped(escapes: re.Match[str]) -> str:
    return str(json.loads(f'"{escapes[0]}"'))
