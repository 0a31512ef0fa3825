"""What holds of every body, whoever sends it: it is a lead, or it is rejected in words that anybody may read."""

from __future__ import annotations

import json

from app.decoding import Rejection
from app.lead import Envelope, Lead, parse
from app.privacy import Withholding

STATUSES = {400, 415, 422}
LONGEST = 300  # characters of a sentence of ours
TEXTS = tuple(name for name in Lead.__struct_fields__ if name not in ("campaign", "extra"))
_withholding = Withholding(["edu"])


def hold(body: bytes, content_type: str) -> Lead | Rejection:
    """Read a body, and assert everything that is promised of what comes out."""
    found = parse(Envelope(body=body, content_type=content_type))
    if isinstance(found, Rejection):
        _rejected(found)
        _withholding.of_body(body)
    else:
        _read(found)
        _withholding.of_lead(found)
    return found


def _read(lead: Lead) -> None:
    for name in TEXTS:
        value = getattr(lead, name)
        assert value is None or (isinstance(value, str) and value.strip()), name
    assert lead.email or lead.first_name or lead.last_name or lead.phone or lead.is_test
    text = json.dumps(lead.as_dict(), ensure_ascii=False, allow_nan=False)
    text.encode()  # no half of a surrogate pair
    assert "\\u0000" not in text.replace("\\\\", ""), "PostgreSQL takes no NUL"
    assert Lead.from_dict(json.loads(text)) == lead


def _rejected(rejection: Rejection) -> None:
    assert rejection.status in STATUSES
    assert 0 < len(rejection.title) <= LONGEST
    assert 0 < len(rejection.detail) <= LONGEST
    for error in rejection.errors:
        assert error.keys() <= {"path", "line", "column", "message"}
        assert error["message"]
        assert all(error[name] >= 1 for name in ("line", "column") if name in error)
    json.dumps(rejection.errors, allow_nan=False)
