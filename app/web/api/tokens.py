"""Tokens: who may ask here."""

from __future__ import annotations

from typing import Any

from app.access import OPERATOR, READER
from app.operations.configuration import LONGEST_NAME, PLAIN_NAME
from app.web.api.fields import Choice, Text
from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Strict, each, text, time

part = Part("tokens", "Who may ask here.")
ROLES = (READER, OPERATOR)


class Token(Strict):
    """A token without its text."""

    id = text()
    name = text()
    role = text(enum=list(ROLES))
    created_at = time()
    created_by = text()
    last_used_at = time(null=True)
    revoked_at = time(null=True)


class Tokens(Strict):
    """Every token, the latest first."""

    tokens = each(Token)


class NewToken(Strict):
    """Which token to make."""

    name = Text(
        "a name of letters, digits, blanks, dots, - and _, to be known by in the audit",
        most=LONGEST_NAME,
        pattern=PLAIN_NAME,
        required=True,
    )
    role = Choice(ROLES, required=True)


class MadeToken(Strict):
    """A new token; its text is shown this once and kept nowhere."""

    id = text()
    name = text()
    role = text(enum=list(ROLES))
    token = text()


@part.endpoint("GET", "/tokens", gives=Tokens)
def tokens() -> Any:  # noqa: ANN401
    """Every token, without its text."""
    return {"tokens": operations().tokens()}


@part.endpoint("POST", "/tokens", body=NewToken, gives=MadeToken, status=201, refusal=409)
def new_token(*, name: str, role: str) -> Any:  # noqa: ANN401
    """Make a token; the answer is the only place that has its text."""
    id_, text_ = operations().new_token(name, role, who=who())
    return {"id": id_, "name": name, "role": role, "token": text_}


@part.endpoint("DELETE", "/tokens/<id>", gives=None, status=204, refusal=404)
def revoke_token(*, id_: str) -> Any:  # noqa: ANN401
    """End a token."""
    operations().revoke_token(id_, who=who())
