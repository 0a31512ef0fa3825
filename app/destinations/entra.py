"""Tokens of Microsoft Entra: for an application that signs in as itself, and for a user's name and password.

msal fails in several shapes: a dictionary that holds the error, a `ValueError` at construction whose cause is only
in its context, a `MsalServiceError` without text for a 5xx, a `JSONDecodeError` for a page of HTML; and for a minute
after a 400 it answers from memory. So it speaks through `_Wire`, which turns every answer that isn't a sign-in
service's yes into `DeliveryFailed` before msal sees it: one shape, with Entra's own code, and nothing remembered.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.destinations.base import DeliveryFailed, network_failure, parse_retry_after
from app.destinations.entra_certificate import check_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import requests

    from app.settings import Secret

_AADSTS = re.compile(r"AADSTS\d+")
_BAD_AUTHORITY = "invalid_authority"  # ours, in the manner of OAuth's words
_DETAIL = 2000  # characters of the service's text that are enough to recognise it
_EARLY = timedelta(minutes=5)  # how long before its end a user's token is not used any more


class EntraToken:
    """The token of one application for one scope; asks only when the one it has is about to expire."""

    def __init__(
        self,
        *,
        authority: str,
        tenant_id: str,
        client_id: str,
        scope: str,
        session: requests.Session,
        now: Callable[[], datetime],
        secret: Secret | None = None,
        certificate: Secret | None = None,
        timeout: tuple[float, float] | None = None,
    ) -> None:
        """Keep what signing in takes; nothing is imported or called before the first `get`.

        Args:
            authority: `https://` address of the sign-in service without the tenant.
            tenant_id: a GUID or a verified domain of the tenant.
            client_id: the application's id.
            scope: what the token is for, ending in `/.default`.
            session: from `http_session`, so that timeouts and `ca_bundle` hold here too.
            now: the clock, for a `Retry-After` that is a date.
            secret: the application's client secret, or
            certificate: a PEM text with its certificate and private key, for which `check_certificate` stands.
            timeout: seconds to connect and to wait for an answer, where the session's own are too long.

        """
        self._authority = f"{authority.rstrip('/')}/{tenant_id}"
        self._client_id = client_id
        self._secret = secret
        self._certificate = certificate
        self._scope = scope
        self._wire = _Wire(session=session, now=now, timeout=timeout)
        self._made: Any = None  # msal has no types

    def get(self) -> str:
        """Give a token that is valid for the next minutes.

        Raises:
            DeliveryFailed: code `AADSTSnnnn`, or the OAuth `error`, or `network.*`; status as HTTP gave it.

        """
        return str(self._granted()["access_token"])

    def forget(self) -> None:
        """Drop the token at hand, because the system it is for didn't take it; the next `get` asks anew."""
        if self._made is not None:
            self._made.remove_tokens_for_client()

    def _granted(self) -> Mapping[str, Any]:
        """Ask, and give the whole answer; it has a token."""
        import requests  # noqa: PLC0415  (only lanes that speak HTTP pay for it)

        try:
            answer = self._ask()
        except (requests.RequestException, OSError) as exc:
            raise network_failure(exc, at=f"signing in at {urlsplit(self._authority).hostname}") from None
        except (ValueError, KeyError, RuntimeError) as exc:
            # An authority that msal won't take as an address, or a discovery document without its endpoints.
            raise DeliveryFailed(_BAD_AUTHORITY, detail=str(exc)[:_DETAIL]) from None
        token = answer.get("access_token") if answer else None
        if not isinstance(token, str) or not token:
            raise _refusal(answer or {}, status=200)
        return dict(answer)

    def _ask(self) -> Any:  # noqa: ANN401  (msal has no types)
        return self._application().acquire_token_for_client(scopes=[self._scope])

    def _credential(self) -> str | dict[str, str]:
        """Give what msal takes; of a certificate it computes the thumbprint itself."""
        if self._certificate is not None:
            key, certificate = check_certificate(self._certificate)
            return {"private_key": key, "public_certificate": certificate}
        return self._secret.reveal() if self._secret else ""

    def _application(self) -> Any:  # noqa: ANN401  (msal has no types)
        """Make msal's application once; this already asks the authority where its endpoints are."""
        import msal  # type: ignore[import-untyped]  # noqa: PLC0415  (slow to import, and only lanes that sign in at Entra need it)

        if self._made is None:
            self._made = msal.ConfidentialClientApplication(
                self._client_id,
                authority=self._authority,
                client_credential=self._credential(),
                http_client=self._wire,
                # Otherwise msal asks login.microsoftonline.com whether it knows the host, which a sovereign cloud
                # or a stand-in must not depend on; for Microsoft's own hosts it saves a call.
                instance_discovery=False,
            )
        return self._made


class EntraUserToken(EntraToken):
    """The token of a user who signs in by name and password through an application (a "public client").

    The password goes to the configured sign-in service only: users of a federated domain can't sign in this way.
    """

    def __init__(
        self,
        *,
        authority: str,
        tenant_id: str,
        client_id: str,
        username: str,
        password: Secret,
        scope: str,
        session: requests.Session,
        now: Callable[[], datetime],
        timeout: tuple[float, float] | None = None,
    ) -> None:
        """Keep what signing in takes, as `EntraToken` does; `tenant_id` may be "organizations" here."""
        super().__init__(
            authority=authority,
            tenant_id=tenant_id,
            client_id=client_id,
            scope=scope,
            session=session,
            now=now,
            timeout=timeout,
        )
        self._username = username
        self._password = password
        self._now = now
        self._kept: tuple[str, datetime] | None = None

    def get(self) -> str:
        """Give a token that is valid for the next minutes; msal itself would ask anew each time.

        Raises:
            DeliveryFailed: as of `EntraToken`.

        """
        if self._kept is None or self._now() >= self._kept[1]:
            answer = self._granted()
            seconds = answer.get("expires_in")
            lifetime = timedelta(seconds=seconds if isinstance(seconds, int) else 0)
            self._kept = str(answer["access_token"]), self._now() + lifetime - _EARLY
        return self._kept[0]

    def forget(self) -> None:
        """Drop the token at hand."""
        self._kept = None

    def _ask(self) -> Any:  # noqa: ANN401
        return self._application().acquire_token_by_username_password(
            self._username, self._password.reveal(), scopes=[self._scope]
        )

    def _application(self) -> Any:  # noqa: ANN401
        import msal  # noqa: PLC0415  (as above)

        if self._made is None:
            self._made = msal.PublicClientApplication(
                self._client_id, authority=self._authority, http_client=self._wire, instance_discovery=False
            )
        return self._made


class _Wire:
    """What msal calls instead of a session: only answers that are JSON and a success come back."""

    def __init__(
        self, *, session: requests.Session, now: Callable[[], datetime], timeout: tuple[float, float] | None
    ) -> None:
        self._session = session
        self._now = now
        self._timeout = {"timeout": timeout} if timeout else {}

    def get(self, url: str, **kwargs: Any) -> requests.Response:  # noqa: ANN401  (msal's interface)
        if "/common/userrealm/" in url:
            return _no_realm()
        return self._checked(self._session.request("GET", url, **{**kwargs, **self._timeout}))

    def post(self, url: str, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        return self._checked(self._session.request("POST", url, **{**kwargs, **self._timeout}))

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


def _no_realm() -> requests.Response:
    """Answer msal's question where else a user's password might go: nowhere (and no name in an address)."""
    import requests  # noqa: PLC0415  (as above)

    answer = requests.Response()
    answer.status_code = 404
    answer._content = b""  # noqa: SLF001  (a Response has no other way in; unset, it would look for a connection)
    return answer


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
