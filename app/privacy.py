"""Whose data must not be kept: recognising e-mail addresses of withheld domains, in leads and in raw bodies."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import idna

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.lead import Lead

# What may follow an @ in a domain. Full-width forms and ideographic full stops are folded before.
_DOMAINS = re.compile(r"@\s*([^\s@<>()\[\]{},;:\"'\\/|&?#]+)")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def fold_domain(domain: str) -> str:
    """Give a domain in its ASCII form, lower case, without a closing dot; IDN labels as punycode."""
    text = domain.strip(". ").lower()
    if text.isascii():
        return text
    try:
        return idna.encode(text, uts46=True).decode("ascii").strip(".")
    except idna.IDNAError:
        return re.sub(r"[^a-z0-9.-]", "", text).strip(".")


class Withholding:
    """The rule of `[privacy]`: which domains' people are not kept."""

    def __init__(self, domains: Iterable[str]) -> None:
        """Take the configured domains, such as `edu`, `ac.uk` or an IDN."""
        self._domains = tuple(fold_domain(_fold_text(domain)) for domain in domains)

    def of_lead(self, lead: Lead) -> str | None:
        """Give the withheld domain of the lead's e-mail address (or of an e-mail field beyond it), else None."""
        further = (value for key, value in lead.extra.items() if "mail" in key.casefold() and isinstance(value, str))
        return self._first(text for text in (lead.email, *further) if text)

    def of_body(self, body: bytes) -> str | None:
        """Give the first withheld domain of an address that can be seen in a body nobody could parse."""
        return self._first(_readings(body))

    def _first(self, texts: Iterable[str]) -> str | None:
        if not self._domains:
            return None
        for text in texts:
            for found in _DOMAINS.findall(_fold_text(text)):
                domain = fold_domain(found)
                if any(domain == one or domain.endswith(f".{one}") for one in self._domains):
                    return domain
        return None


def _fold_text(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u3002", ".").replace("\u00ad", "")
    return unquote_plus(text) if "%" in text else text


def _readings(body: bytes) -> Iterator[str]:
    """The body as each encoding would show it, JSON escapes undone."""
    for encoding in ("utf-8", "utf-16", "utf-16-be", "utf-16-le", "latin-1"):
        text = body.decode(encoding, "ignore")
        yield text
        if "\\u" in text:
            yield _ESCAPED.sub(lambda match: str(json.loads(f'"{match.group()}"')), text)
