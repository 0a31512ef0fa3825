"""The kinds of values that a request may hold, strict: each says what is `allowed`, and so does `/openapi.json`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError, fields, validate

from app.store.tables import to_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_ID = 2**31 - 1
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
LINE = r"[^\x00-\x1f\x7f]*"  # one line; neither database nor log takes these characters
TEXT = r"[^\x00]*"
EMAIL = r"[^\x00-\x20\x7f@]+@[^\x00-\x20\x7f@]+"
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"


class Text(fields.String):
    """Text of a certain length and pattern that every database and log can hold."""

    def __init__(self, allowed: str, *, most: int, least: int = 1, pattern: str = LINE, required: bool = False) -> None:
        """Take in words what is allowed, the lengths in characters, and what it must look like from end to end."""
        shape = {"allowed": allowed, "minLength": least, "maxLength": most, "pattern": f"^{pattern}$"}
        super().__init__(required=required, metadata=shape)
        self._fits = re.compile(pattern, re.DOTALL).fullmatch
        self._least, self._most = least, most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401
        del attr, data, kwargs
        if not isinstance(value, str) or not self._least <= len(value) <= self._most or not self._fits(value):
            raise ValidationError(self.metadata["allowed"])
        if any("\ud800" <= one <= "\udfff" for one in value):  # half a pair of surrogates: nothing can write it down
            raise ValidationError(self.metadata["allowed"])
        return value


class Choice(fields.String):
    """One of some words."""

    def __init__(self, words: Iterable[str], *, required: bool = False) -> None:
        """Take the words."""
        self._words = tuple(map(str, words))
        shown = ", ".join(self._words) if len(self._words) < 20 else "one of those that /openapi.json lists"  # noqa: PLR2004
        super().__init__(
            required=required, metadata={"allowed": shown}, validate=validate.OneOf(self._words, error=shown)
        )


class Whole(fields.Integer):
    """A whole number between two others, both allowed; in a query written in digits."""

    def __init__(self, low: int, high: int, *, default: int | None = None, in_query: bool = False) -> None:
        """Take the bounds, and whether the number comes as text."""
        shape = {"allowed": f"a whole number from {low} to {high}", "minimum": low, "maximum": high}
        super().__init__(load_default=default, metadata=shape)
        self._low, self._high, self._in_query = low, high, in_query

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:  # noqa: ANN401
        del attr, data, kwargs
        number = _from_digits(value) if self._in_query else value
        if isinstance(number, float) and number.is_integer():  # JSON knows no difference between 2 and 2.0
            number = int(number)
        if not isinstance(number, int) or isinstance(number, bool) or not self._low <= number <= self._high:
            raise ValidationError(self.metadata["allowed"])
        return number


def _from_digits(value: object) -> int | None:
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,18}", value) else None


class Flag(fields.Boolean):
    """`true` or `false`, and nothing that merely counts as one of them."""

    def __init__(self, *, default: bool | None = None, in_query: bool = False, required: bool = False) -> None:
        """Take what it is when it isn't given, and whether it comes as text."""
        if required:
            super().__init__(required=True, metadata={"allowed": "true or false"})
        else:
            super().__init__(load_default=default, metadata={"allowed": "true or false"})
        self._values: dict[Any, bool] = {"true": True, "false": False} if in_query else {}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ANN401
        del attr, data, kwargs
        read = self._values.get(value) if self._values and isinstance(value, str) else value
        if not isinstance(read, bool):
            raise ValidationError(self.metadata["allowed"])
        return read


class Moment(fields.Field[int]):
    """A moment with its zone, as RFC 3339 writes it; loads to milliseconds."""

    def __init__(self) -> None:
        """Take nothing: every moment is alike."""
        allowed = "a moment with its zone, such as 2026-11-20T23:51:00Z"
        super().__init__(
            metadata={"allowed": allowed, "type": "string", "format": "date-time", "pattern": f"^{_MOMENT}$"}
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:  # noqa: ANN401
        del attr, data, kwargs
        if not isinstance(value, str) or not re.fullmatch(_MOMENT, value):
            raise ValidationError(self.metadata["allowed"])
        try:
            return to_ms(_moment(value.upper()))
        except (ValueError, OverflowError):
            raise ValidationError(self.metadata["allowed"]) from None


def _moment(text: str) -> datetime:
    """Read it; a leap second counts as the one before."""
    return datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if text[17:19] == "60" else text)


def id_() -> Text:
    """Make the field of an id of ours."""
    return Text("an id as Leadwire gives them, a UUID in small letters", most=36, least=36, pattern=UUID)


def why() -> Text:
    """Make the field of a reason."""
    return Text("a reason for the audit, up to 500 characters without personal data", least=0, most=500, pattern=TEXT)


def email() -> Text:
    """Make the field of a person's address; it comes in bodies only, never in an address of ours."""
    return Text("a whole e-mail address, such as someone@contoso.com", most=254, pattern=EMAIL, required=True)
