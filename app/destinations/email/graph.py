"""Letters through Microsoft Graph: `POST /users/{from}/sendMail` with the message as MIME.

MIME, because Graph's JSON form would replace our Message-ID by its own, and with it the one thing that lets a mailbox
recognise a second copy.
"""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.destinations.base import DeliveryFailed, Sent, network_failure, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    import requests

    from app.destinations.base import Outcome
    from app.destinations.email.text import Letter
    from app.destinations.entra import EntraToken

_ACCEPTED, _BAD_REQUEST, _UNAUTHORISED, _TOO_LARGE = 202, 400, 401, 413
_DETAIL = 2000


class GraphTransport:
    """Hands letters to the mailbox of the sender."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        token: EntraToken,
        session: requests.Session,
        now: Callable[[], datetime],
    ) -> None:
        """Keep address, token and session; `now` is for a `Retry-After` that is a date."""
        self._sender = settings["from_address"]
        self._url = f"{settings['graph_url'].rstrip('/')}/v1.0/users/{quote(self._sender, safe='@')}/sendMail"
        self._token = token
        self._session = session
        self._now = now

    @contextmanager
    def connected(self) -> Iterator[Callable[[Letter], tuple[Outcome, DeliveryFailed | None]]]:
        """Sign in for a batch; gives what takes a letter and says its outcome, and why to stop if so.

        Raises:
            DeliveryFailed: signing in failed.

        """
        self._token.get()
        yield self._hand_over

    def check(self) -> str:
        """Sign in and offer Graph a message that has no recipients, which it must refuse for exactly that.

        Reading the user would need more than the Mail.Send that sending needs, and the roles in the token don't show
        a permission given in Exchange (RBAC for Applications) nor one taken away by an access policy.

        Raises:
            DeliveryFailed: signing in failed, or Graph refused for another reason.

        """
        nobody = {"message": {"subject": "check", "toRecipients": []}, "saveToSentItems": False}
        answer = self._post(json.dumps(nobody).encode(), "application/json")
        failed = self._failure(answer)
        if answer.status_code != _BAD_REQUEST or failed.code != "ErrorInvalidRecipients":
            raise failed
        return f"{self._url.partition('/v1.0/')[0]}, signed in, sends as {self._sender} ({self._permission()})"

    def close(self) -> None:
        """Nothing of its own: the session is the destination's."""

    def _hand_over(self, letter: Letter) -> tuple[Outcome, DeliveryFailed | None]:
        """Give the letter's outcome, and what the letters after it must fail with, if trying them is pointless."""
        try:
            answer = self._post(base64.b64encode(letter.content), "text/plain")
        except DeliveryFailed as failed:
            return failed, failed
        if answer.status_code == _ACCEPTED:
            return Sent(letter.message_id), None
        refused = self._failure(answer)
        # Only these two speak of the letter; any other answer is about the mailbox, the permission or the service.
        about_letter = answer.status_code in {_BAD_REQUEST, _TOO_LARGE}
        return refused, None if about_letter else refused

    def _post(self, body: bytes, content_type: str) -> requests.Response:
        answer = self._call(body, content_type)
        if answer.status_code == _UNAUTHORISED:  # once: a token can be withdrawn before its time
            self._token.forget()
            answer = self._call(body, content_type)
        return answer

    def _call(self, body: bytes, content_type: str) -> requests.Response:
        import requests  # noqa: PLC0415  (only lanes that speak HTTP pay for it)

        headers = {"Authorization": f"Bearer {self._token.get()}", "Content-Type": content_type}
        try:
            return self._session.post(self._url, data=body, headers=headers)
        except requests.RequestException as exc:
            raise network_failure(exc) from None

    def _failure(self, answer: requests.Response) -> DeliveryFailed:
        """Read `{"error": {"code", "message"}}`; a page that isn't Graph's has no code, only its beginning."""
        try:
            told = answer.json()
        except ValueError:
            told = None
        error = told.get("error") if isinstance(told, dict) else None
        error = error if isinstance(error, dict) else {"message": answer.text}
        code = error.get("code")
        return DeliveryFailed(
            code if isinstance(code, str) and code else None,
            status=answer.status_code,
            detail=str(error.get("message") or "")[:_DETAIL],
            retry_after=parse_retry_after(answer.headers.get("Retry-After"), now=self._now()),
        )

    def _permission(self) -> str:
        """Say what the token shows of the permission: a hint for a person, never a reason to refuse."""
        try:
            middle = self._token.get().split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
            roles = claims.get("roles", [])
        except (ValueError, IndexError, AttributeError):
            return "its token can't be looked into"
        if isinstance(roles, list) and "Mail.Send" in roles:
            return "its token has Mail.Send"
        return "its token has no Mail.Send: right only if the permission was given in Exchange"
