"""The normal form of a lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

TEST_MARK = "msft_test"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A body as it came, before anyone has looked inside."""

    body: bytes
    content_type: str  # the whole header, "" where there was none


class Lead(msgspec.Struct, frozen=True, kw_only=True):
    """A lead in the normal form; every field but `campaign` and `extra` is text or None (never empty text)."""

    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    country: str | None = None  # ISO 3166 two-letter where it can be told
    company: str | None = None
    title: str | None = None
    lead_source: str | None = None
    action_code: str | None = None
    offer_title: str | None = None
    publisher_id: str | None = None
    offer_id: str | None = None
    description: str | None = None
    campaign: dict[str, Any] = msgspec.field(default_factory=dict)  # listing-URL parameters
    extra: dict[str, Any] = msgspec.field(default_factory=dict)  # what the sender gave beyond the known fields

    def as_dict(self) -> dict[str, Any]:
        """Give the normal form as the contract writes it, keys in its order."""
        return {name: getattr(self, name) for name in _FIELD_NAMES}

    @classmethod
    def from_dict(cls, normal_form: Mapping[str, Any]) -> Lead:
        """Read back what `as_dict` gave; fields that another version added are ignored."""
        return cls(**{name: value for name, value in normal_form.items() if name in _FIELD_NAMES})

    @property
    def is_test(self) -> bool:
        """Whether Microsoft's mark begins a name, the company or the e-mail's local part; the notes don't count."""
        for text in (self.first_name, self.last_name, self.company, self.email):
            if text is not None and text[: len(TEST_MARK)].lower() == TEST_MARK:
                return True
        return False

    @property
    def offer(self) -> str | None:
        """How the offer is called in filters and routes: `publisher.offer` where known, else its title."""
        if self.offer_id and self.publisher_id:
            return f"{self.publisher_id}.{self.offer_id}"
        return self.offer_id or self.offer_title


_FIELD_NAMES = Lead.__struct_fields__
