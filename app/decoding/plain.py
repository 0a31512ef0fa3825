"""What every reader of bodies ends in: values that any database can hold, or a Rejection."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 256  # what any JSON library downstream still reads
# What Web-to-Lead forms may name besides UTF-8. Only these: Python also has "encodings" that are no alphabets.
_CHARSETS = frozenset(
    {"big5", "cp1250", "cp1251", "cp1252", "cp932", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "iso8859-1"}
    | {"iso8859-15", "iso8859-2", "koi8-r", "shift_jis"}
)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL takes no NUL in text, nothing encodes half a pair
_NOTHING: tuple[Any, ...] = (None, "", {}, [])


class Rejection(Exception):  # noqa: N818  (it is an answer before it is an error)
    """Why a body is no lead: an HTTP status, a title, a sentence, and errors with path, line and column where known."""

    def __init__(self, status: int, title: str, detail: str, *, errors: list[dict[str, Any]] | None = None) -> None:
        """Keep the parts; none of them may repeat what the sender wrote."""
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = errors or []


def wrongly_encoded(where: dict[str, Any]) -> Rejection:
    """Make the Rejection of bytes that are no text."""
    return Rejection(400, "The body is wrongly encoded", "Send UTF-8.", errors=[where])


def charset(content_type: str) -> str | None:
    """Give the declared encoding if it is one that a body falls back to when it is not Unicode."""
    named = _CHARSET.search(content_type)
    return alphabet(named[1]) if named else None


def alphabet(name: str) -> str | None:
    """Give Python's name of an encoding if it is one of the alphabets we know."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return known if known in _CHARSETS else None


def spot(before: str) -> tuple[int, int]:
    """Give line and column, both from 1, of what follows `before`."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def unpaired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict; the fast way of `merged` where no key comes twice."""
    made = dict(pairs)
    return made if len(made) == len(pairs) else merged(pairs)


def merged(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict where the last of equal keys that says something wins; the others stay, as `key#2` and so on."""
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made and value in _NOTHING:
            continue
        if key in made and made[key] not in (*_NOTHING, value):
            keep(made, key, made[key])
        made[key] = value
    return made


def keep(mapping: dict[str, Any], key: str, value: Any) -> None:  # noqa: ANN401  (any JSON value)
    """Put a value under a key, or where that is taken under `key#2`, `key#3` and so on."""
    if key not in mapping:
        mapping[key] = value
        return
    # By doubling, then halving: a body with ten thousand equal keys must not cost their square.
    high = 2
    while f"{key}#{high}" in mapping:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if f"{key}#{middle}" in mapping else (low, middle)
    mapping[f"{key}#{high}"] = value


def storable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401  (any JSON value)
    """Give a JSON value as every database and encoder can hold it.

    Raises:
        Rejection: 400, deeper than MAX_DEPTH.

    """
    if isinstance(value, str):
        return storable_text(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= MAX_DEPTH:
        raise Rejection(
            400, "The body is nested too deeply", f"At most {MAX_DEPTH} objects or lists inside each other."
        )
    if isinstance(value, dict):
        # Two keys can become one here, which must not cost the value of the first.
        return unpaired([(storable_text(key), storable(one, depth + 1)) for key, one in value.items()])
    return [storable(one, depth + 1) for one in value]


def storable_text(text: str) -> str:
    """Replace NULs and lone surrogates by U+FFFD."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)
