"""What a lead is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
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
    campaign: dict[str, Any] = field(default_factory=dict)  # listing-URL parameters
    extra: dict[str, Any] = field(default_factory=dict)  # what the sender gave beyond the known fields

    def as_dict(self) -> dict[str, Any]:
        """Give the normal form as the contract writes it, keys in its order."""
        return asdict(self)
