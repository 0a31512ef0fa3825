"""Who may do what: every request but the one for the document needs a token, and the token's role decides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flask import g, request

from app.store.acts import Who
from app.web.limits import Strangers
from app.web.problem import problem

if TYPE_CHECKING:
    from collections.abc import Container

    from flask import Flask, Response

    from app.wiring import Wiring

OPERATOR = "operator"
CHALLENGE = 'Bearer realm="Leadwire"'
WRONG = f'{CHALLENGE}, error="invalid_token"'
TOO_LITTLE = f'{CHALLENGE}, error="insufficient_scope"'


def register(api: Flask, wiring: Wiring, *, public: Container[str], readers: Container[str]) -> None:
    """Let nobody in without a live token; `public` and `readers` are names of endpoints, the rest is for operators.

    What doesn't exist is not told apart from what does before it is known who asks.
    """
    strangers = Strangers(wiring.settings.limits.wrong_keys_a_minute)

    @api.before_request
    def check() -> Response | None:
        if request.endpoint in public:
            return None
        text = _given_token()
        caller = wiring.access.verify_token(text) if text else None
        if caller is None:
            wait = strangers.wait(request.remote_addr or "")
            if wait:
                retry = {"Retry-After": str(math.ceil(wait))}
                return problem(429, "Too many requests", "Too many wrong tokens came from this address.", headers=retry)
            return problem(401, "No token, or none that is live", _HOW, headers=_challenge(text))
        if request.endpoint is not None and caller.role != OPERATOR and request.endpoint not in readers:
            return problem(403, "This needs a token with the role operator", _ROLES, headers=_TOO_LITTLE)
        g.actor = f"api:{caller.name}"
        return None


def who(why: str = "") -> Who:
    """Give who asks, for the audit."""
    return Who(g.actor, why)


def _given_token() -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _challenge(text: str) -> dict[str, str]:
    return {"WWW-Authenticate": WRONG if text else CHALLENGE}


_TOO_LITTLE = {"WWW-Authenticate": TOO_LITTLE}
_HOW = "Send the header Authorization: Bearer TOKEN. `leadwire tokens new` and the console's settings make tokens."
_ROLES = "A token with the role reader may look, search and explain."
