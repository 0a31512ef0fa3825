"""What one entry of the error catalogue is, and what each of its keys may hold.

The words are data (`config/errors/<type>.toml`), so that a better remedy also improves yesterday's failures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from app.retry import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

OWNERS = ("publisher", "crm-admin", "entra-admin", "mail-admin", "azure-admin", "operator", "nobody")
UNCATALOGUED = "uncatalogued"
_ACCENTED = re.compile("[\u00c0-\u024f]")
CODE = re.compile(r"[a-z][a-z0-9_]*\.[a-z0-9]+(?:-[a-z0-9]+)*")


class CatalogueError(Exception):
    """A catalogue file can't be used; the message says file, entry, key, what was found, what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known error: how it is recognised, what it means, and who does what about it.

    What the system itself says is in three lists, because not every word proves the same: `codes` can mean only
    this, `shared` are used by other systems too (enough alone, or in a text that names our system), `weak` are
    ordinary words (enough only in a text that names our system). Within its own type all three count the same.
    `words` are for errors that come in many languages: each list holds groups of beginnings of words (parted by |,
    small letters, no accents), and matches where one of every group stands in the same sentence. They are enough
    only in a text that names our system.
    `refines` names codes of a sibling for which this entry is the better answer when one of its patterns matches.
    """

    code: str
    title: str
    cause: str
    remedy: tuple[str, ...]
    verdict: Verdict
    owner: str
    doc: str
    checked: date
    evidence: tuple[str, ...]
    codes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    refines: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    patterns: tuple[str, ...] = ()
    words: tuple[tuple[tuple[str, ...], ...], ...] = ()
    in_context: bool = False  # the patterns are so general that `explain` heeds them only beside a system's name
    generic: bool = False  # several types share it; gives way to a type's own entry
    vague: bool = False  # says little; gives way to a sibling that fits by its words as well

    @property
    def kind(self) -> str:
        """The destination type it belongs to: what stands before the dot."""
        return self.code.partition(".")[0]

    @property
    def claims(self) -> tuple[str, ...]:
        """Every code by which the entry is known to its own type."""
        return (*self.codes, *self.shared, *self.weak)

    def as_dict(self) -> dict[str, Any]:
        """Give what people and scripts read, ready for JSON."""
        return {
            "code": self.code,
            "title": self.title,
            "cause": self.cause,
            "remedy": list(self.remedy),
            "verdict": self.verdict.value,
            "owner": self.owner,
            "doc": self.doc,
            "checked": self.checked.isoformat(),
        }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def texts(value: object) -> tuple[str, ...] | None:
    """Give a list of texts as a tuple, or None if it is none."""
    right = isinstance(value, list) and all(_text(item) for item in value)
    return tuple(value) if right else None  # type: ignore[arg-type]  # `right` says that it is a list of text


def _some_texts(value: object) -> tuple[str, ...] | None:
    return texts(value) or None


def _words(value: object) -> tuple[tuple[tuple[str, ...], ...], ...] | None:
    lists = [texts(one) for one in value] if isinstance(value, list) else [None]
    groups = [tuple(tuple(group.split("|")) for group in one or ()) for one in lists]
    right = all(one and all(_is_stem(stem) for group in one for stem in group) for one in groups)
    return tuple(groups) if right else None


def _is_stem(stem: str) -> bool:
    return bool(stem.strip()) and stem == stem.casefold() and not _ACCENTED.search(stem)


def _statuses(value: object) -> tuple[int, ...] | None:
    # bool is an int to Python, and no status to anybody
    right = isinstance(value, list) and all(type(item) is int and 100 <= item <= 599 for item in value)  # noqa: PLR2004
    return tuple(value) if right else None  # type: ignore[arg-type]  # as above


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _verdict(value: object) -> Verdict | None:
    return Verdict(value) if isinstance(value, str) and value in list(Verdict) else None


def _owner(value: object) -> str | None:
    return value if isinstance(value, str) and value in OWNERS else None


def _address(value: object) -> str | None:
    return value if isinstance(value, str) and value.startswith("https://") else None


def _date(value: object) -> date | None:
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


_LIST = "a list of texts, none empty"
READERS: dict[str, tuple[Callable[[object], object | None], str]] = {
    "title": (_text, "a text"),
    "cause": (_text, "a text"),
    "remedy": (_some_texts, "a list of one or more steps"),
    "verdict": (_verdict, "one of " + ", ".join(Verdict)),
    "owner": (_owner, "one of " + ", ".join(OWNERS)),
    "doc": (_address, "an address that begins with https://"),
    "checked": (_date, "a date as 2026-11-20, without quotes"),
    "evidence": (_some_texts, "a list of one or more recorded errors"),
    "codes": (texts, _LIST),
    "shared": (texts, _LIST),
    "weak": (texts, _LIST),
    "refines": (texts, _LIST),
    "statuses": (_statuses, "a list of numbers from 100 to 599"),
    "patterns": (texts, "a list of regular expressions, none empty"),
    "words": (_words, 'lists of groups as "tenant|mandant" or "@group", small letters without accents'),
    "in_context": (_flag, "true or false"),
    "generic": (_flag, "true or false"),
    "vague": (_flag, "true or false"),
}
REQUIRED = ("title", "cause", "remedy", "verdict", "owner", "doc", "checked", "evidence")
