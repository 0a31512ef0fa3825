"""What a lead is, and how a body that came in becomes one: Envelope → Lead or Rejection.

Every shape the marketplace is known to send (documented, mixed case, camelCase, form-encoded, flat) ends in the same
normal form.
Nothing here knows a store, a network or a clock, and no message here repeats what a sender wrote.
"""

from app.lead.countries import country_code
from app.lead.model import TEST_MARK, Envelope, Lead
from app.lead.reading import parse

__all__ = ["TEST_MARK", "Envelope", "Lead", "country_code", "parse"]
