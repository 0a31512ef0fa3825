"""Tokens of Microsoft Entra for an application that signs in as itself (client credentials).

msal fails in several shapes: a dictionary that holds the error, a `ValueError` at construction whose cause is only
in its context, a `MsalServiceError` without text for a 5xx, a `JSONDecodeError` for a page of HTML; and for a minute
after a 400 it answers from memory. So it speaks through `_Wire`, which turns every answer that isn't a sign-in
service's yes into `DeliveryFailed` before msal sees it: one shape, with Entra's own code, and nothing remembered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from app.destinations.base import DeliveryFailed, network_failure, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import requests

    from app.settings import Secret

_AADSTS = re.compile(r"AADSTS\d+")
_BAD_AUTHORITY = "invalid_authority"  # ours, in the manner of OAuth's words
_DETAIL = 2000  # characters of the service's text that are enough to recognise it


class EntraToken:
    """The token of one application for one scope; asks only when the one it has is about to expire."""

    def __init__(
        self,
        *,
        authority: str,
        tenant_id: str,
        client_id: str,
        secret: Secret,
        scope: str,
        session: requests.Session,
        now: Callable[[], datetime],
    ) -> None:
        """Keep what signing in takes; nothing is imported or called before the first `get`.

        Args:
            authority: `https://` address of the sign-in service without the tenant.
            tenant_id: a GUID or a verified domain of the tenant.
            client_id: the application's id.
            secret: its client secret.
            scope: what the token is for, ending in `/.default`.
            session: from `http_session`, so that timeouts and `ca_bundle` hold here too.
            now: the clock, for a `Retry-After` that is a date.

        """
        self._authority = f"{authority.rstrip('/')}/{tenant_id}"
        self._client_id = client_id
        self._secret = secret
        self._scope = scope
        self._wire = _Wire(session=session, now=now)
        self._made: Any = None  # msal has no types

    def get(self) -> str:
        """Give a token that is valid for the next minutes.

        Raises:
            DeliveryFailed: code `AADSTSnnnn`, or the OAuth `error`, or `network.*`; status as HTTP gave it.

        """
        import requests  # noqa: PLC0415  (only lanes that speak HTTP pay for it)

        try:
            answer = self._application().acquire_token_for_client(scopes=[self._scope])
        except (requests.RequestException, OSError) as exc:
            raise network_failure(exc) from None
        except (ValueError, KeyError, RuntimeError) as exc:
            # An authority that msal won't take as an address, or a discovery document without its endpoints.
            raise DeliveryFailed(_BAD_AUTHORITY, detail=str(exc)[:_DETAIL]) from None
        token = answer.get("access_token") if answer else None
        if not isinstance(token, str) or not token:
            raise _refusal(answer or {}, status=200)
        return token

    def forget(self) -> None:
        """Drop the token at hand, because the system it is for didn't take it; the next `get` asks anew."""
        if self._made is not None:
            self._made.remove_tokens_for_client()

    def _application(self) -> Any:  # noqa: ANN401  (msal has no types)
        """Make msal's application once; this already asks the authority where its endpoints are."""
        import msal  # type: ignore[import-untyped]  # noqa: PLC0415  (slow to import, and only lanes that sign in at Entra need it)

        if self._made is None:
            self._made = msal.ConfidentialClientApplication(
                self._client_id,
                authority=self._authority,
                client_credential=self._secret.reveal(),
                http_client=self._wire,
                # Otherwise msal asks login.microsoftonline.com whether it knows the host, which a sovereign cloud
                # or a stand-in must not depend on; for Microsoft's own hosts it saves a call.
                instance_discovery=False,
            )
        return self._made


class _Wire:
    """What msal calls instead of a session: only answers that are JSON and a success come back."""

    def __init__(self, *, session: requests.Session, now: Callable[[], datetime]) -> None:
        self._session = session
        self._now = now

    def get(self, url: str, **kwargs: Any) -> requests.Response:  # noqa: ANN401  (msal's interface)
        return self._checked(self._session.request("GET", url, **kwargs))

    def post(self, url: str, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        return self._checked(self._session.request("POST", url, **kwargs))

    def close(self) -> None:
        """Nothing: the session belongs to the destination."""

    def _checked(self, answer: requests.Response) -> requests.Response:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.status_code == 200 and isinstance(body, dict):  # noqa: PLR2004
            return answer
        wait = parse_retry_after(answer.headers.get("Retry-After"), now=self._now())
        told = body if isinstance(body, dict) else {"error_description": answer.text}
        raise _refusal(told, status=answer.status_code, retry_after=wait)


def _refusal(body: Mapping[str, Any], *, status: int, retry_after: float | None = None) -> DeliveryFailed:
    """Read an OAuth error: the number Entra gives, else the one in its text, else the `error` word."""
    text = str(body.get("error_description") or "")
    numbers, word = body.get("error_codes"), body.get("error")
    in_text = _AADSTS.search(text)
    if isinstance(numbers, list) and numbers and isinstance(numbers[0], int):
        code: str | None = f"AADSTS{numbers[0]}"
    elif in_text:
        code = in_text.group()
    else:
        code = word if isinstance(word, str) and word else None
    return DeliveryFailed(code, status=status, detail=text[:_DETAIL], retry_after=retry_after)
