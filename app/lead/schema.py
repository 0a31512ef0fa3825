"""The known fields of a lead as they come, and what makes clean text of them."""

from __future__ import annotations

import json
import re
from typing import Any

from marshmallow import Schema, ValidationError, fields


def is_clean(value: object) -> bool:
    """Tell whether a value is text of which at most the ends have to be taken off; most are."""
    return type(value) is str and value.isprintable() and "  " not in value


class Line(fields.Field[str | None]):
    """One line of text; numbers and booleans become text, control characters and runs of white space one space."""

    _unwanted = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:  # noqa: ANN401
        del attr, data, kwargs
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # no ".0" behind a phone
        if isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str):
            msg = f"expected text, found {'an object' if isinstance(value, dict) else 'a list'}"
            raise ValidationError(msg)
        return self.clean(value) or None

    def clean(self, text: str) -> str:
        """Give the text without what no system downstream can hold."""
        return text.strip() if is_clean(text) else self._unwanted.sub(" ", text).strip()


class Notes(Line):
    """Text of several lines. A JSON object or list, given as such and not inside a string, becomes its text."""

    _unwanted = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:  # noqa: ANN401
        if isinstance(value, dict | list):
            value = json.dumps(value, ensure_ascii=False)
        return super()._deserialize(value, attr, data, **kwargs)

    def clean(self, text: str) -> str:
        """Also make line ends one kind."""
        return super().clean(text.replace("\r\n", "\n").replace("\r", "\n"))


class LeadSchema(Schema):
    """The known fields under their folded keys: letters and digits, lower case."""

    first_name = Line(data_key="firstname", allow_none=True)
    last_name = Line(data_key="lastname", allow_none=True)
    email = Line(allow_none=True)
    phone = Line(allow_none=True)
    country = Line(allow_none=True)
    company = Line(allow_none=True)
    title = Line(allow_none=True)
    lead_source = Line(data_key="leadsource", allow_none=True)
    action_code = Line(data_key="actioncode", allow_none=True)
    offer_title = Line(data_key="offertitle", allow_none=True)
    publisher_id = Line(data_key="publisherid", allow_none=True)
    offer_id = Line(data_key="offerid", allow_none=True)
    description = Notes(allow_none=True)
