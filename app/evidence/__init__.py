"""What an outside system said, fit to be kept and shown: its codes and words, without any person or secret.

A system's text quotes what it was given, in whatever escaping. So it is first read the way it was meant (markup,
escapes), and then three things go: what belongs to a lead of the batch, what has the form of a secret or of anybody's
address or number, and what stands in quotes and looks like a value and not like an identifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.evidence.patterns import without_quoted, without_secrets
from app.evidence.persons import Persons
from app.evidence.plain import MARK, decoded, shown, tidy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.lead import Lead

LONGEST = 8_000  # characters that are looked at; adapters keep about 2,000
_DEEPEST = 8  # escapes within escapes; what hides deeper than that is not shown at all

__all__ = ["scrubbed"]


def scrubbed(text: str, *, leads: Sequence[Lead], limit: int = 500) -> str:
    """Give what a system said in one line of at most `limit` characters, "[…]" where something was taken out.

    Args:
        text: the system's own words, an error page or a piece of JSON, as long as it likes.
        leads: everybody who was in the batch.
        limit: characters that are kept.

    """
    persons = Persons(leads)
    told = without_secrets(persons.without(tidy(text[:LONGEST].replace(MARK, " "))))
    for _ in range(_DEEPEST):
        before, told = told, without_secrets(decoded(told))
        if told == before:
            return shown(without_quoted(persons.without(told)), limit=limit)
    return shown(MARK, limit=limit)
