"""Signing in to Salesforce: three ways that end in a session, each failure in the system's own code.

Client credentials and JWT are plain OAuth calls of ours, because simple-salesforce can only reach hosts below
salesforce.com and leaves out the answer's status; its SOAP login is used for `password`, over our own wire.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from app.destinations.base import DeliveryFailed
from app.destinations.salesforce.errors import unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import requests

    from app.destinations.salesforce.wire import Answer, Wire

RETIRES = 'the SOAP login that auth = "password" uses retires with Summer \'27: change to client_credentials or jwt'
BAD_KEY = "salesforce-private-key-unusable"  # ours
_LIFE = timedelta(minutes=3)  # of an assertion; Salesforce takes five at most
_OK = 200


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """What calls are made with; `user_id` is who we are, where the sign-in says it."""

    token: str
    instance_url: str
    user_id: str | None


class SignIn:
    """The session of one destination; signs in when there is none."""

    def __init__(self, settings: Mapping[str, Any], *, wire: Wire, now: Callable[[], datetime]) -> None:
        """Keep what signing in takes; nothing is imported or called before the first `get`."""
        self._settings = settings
        self._wire = wire
        self._now = now
        self._session: Session | None = None

    def get(self) -> Session:
        """Give the session.

        Raises:
            DeliveryFailed: OAuth's `error`, SOAP's `exceptionCode`, or `network.*`.

        """
        if self._session is None:
            ways = {"client_credentials": self._as_itself, "jwt": self._as_user, "password": self._by_password}
            self._session = ways[self._settings["auth"]]()
        return self._session

    def forget(self) -> None:
        """Drop the session, because it was refused."""
        self._session = None

    def _as_itself(self) -> Session:
        secret = self._settings["client_secret"].reveal()
        return self._token(grant_type="client_credentials", client_id=self._settings["client_id"], client_secret=secret)

    def _as_user(self) -> Session:
        return self._token(grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=self._assertion())

    def _assertion(self) -> str:
        import jwt  # noqa: PLC0415  (only a lane that signs assertions pays for it)

        claims = {
            "iss": self._settings["client_id"],
            "sub": self._settings["username"],
            "aud": self._settings["audience"],
            "exp": int((self._now() + _LIFE).timestamp()),
        }
        # In an environment variable the lines of a PEM file often stand behind one another.
        pem = self._settings["private_key"].reveal().replace("\\n", "\n")
        try:
            return jwt.encode(claims, pem, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError) as exc:
            raise DeliveryFailed(BAD_KEY, detail=type(exc).__name__) from None

    def _token(self, **form: str) -> Session:
        url = f"{self._settings['login_url']}/services/oauth2/token"
        answer = self._wire.raw("POST", url, data=form, headers={"Accept": "application/json"})
        if answer.status_code != _OK:
            raise self._wire.refusal(answer)
        try:
            told = json.loads(answer.content)
            token, instance, identity = told["access_token"], told["instance_url"], str(told.get("id") or "")
        except (ValueError, LookupError, TypeError, AttributeError):
            why = "a token answer without a token"
            raise unreadable(why) from None
        return _session(token, instance, identity.rpartition("/")[2])

    def _by_password(self) -> Session:
        from xml.parsers.expat import ExpatError  # noqa: PLC0415  (only the name of what the library raises)

        from simple_salesforce.exceptions import SalesforceAuthenticationFailed  # noqa: PLC0415  (slow to import)
        from simple_salesforce.login import SalesforceLogin  # noqa: PLC0415

        given, soap = self._settings, _Soap(self._wire)
        token = given.get("security_token")
        try:
            session_id, host = SalesforceLogin(
                username=given["username"],
                password=given["password"].reveal(),
                security_token=escape(token.reveal()) if token else "",  # the library escapes only the other two
                sf_version=given["api_version"],
                scratch_url=given["login_url"],
                session=cast("requests.Session", soap),
            )
        except SalesforceAuthenticationFailed as exc:
            raise soap.refusal(exc.code) from None
        except (ExpatError, ValueError, LookupError, AttributeError):  # the library tripped over a page
            raise soap.refusal(None) from None
        return _session(session_id, f"https://{host}", soap.user_id())


class _Soap:
    """What simple-salesforce calls instead of a session; remembers the answer for what the library leaves out."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.answer: Answer | None = None

    def post(self, url: str, data: str, *, headers: Mapping[str, str], proxies: object = None) -> Answer:
        del proxies
        self.answer = self._wire.raw("POST", url, data=data.encode(), headers=headers)
        return self.answer

    def refusal(self, code: str | int | None) -> DeliveryFailed:
        """Say what the answer was: a fault's code, else what its status says."""
        answer = self.answer
        if answer is None:  # it never came to a call
            return unreadable("no answer")
        if isinstance(code, str) and re.fullmatch(r"[A-Z][A-Z0-9_]{2,79}", code) and "UNKNOWN_EXCEPTION_" not in code:
            return DeliveryFailed(code, status=answer.status_code, detail=_element(answer.content, "exceptionMessage"))
        if answer.status_code == _OK:
            return unreadable("a login answer without a session")
        return self._wire.refusal(answer)

    def user_id(self) -> str:
        return _element(self.answer.content, "userId") if self.answer else ""


def _element(xml: bytes, name: str) -> str:
    found = re.search(rf"<(?:\w+:)?{name}>([^<]{{0,2000}})<", xml.decode("utf-8", "replace"))
    return found[1] if found else ""


def _session(token: object, instance: object, user_id: str) -> Session:
    """Make a session of what a sign-in gave; leads go only to an https host of its own."""
    parts = urlsplit(instance) if isinstance(instance, str) else urlsplit("")
    plain = isinstance(token, str) and re.fullmatch(r"[\x21-\x7e]+", token)
    if not plain or parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        why = "a token answer without a token or an https address"
        raise unreadable(why)
    user = user_id if re.fullmatch(r"005[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?", user_id) else None
    return Session(cast("str", token), f"https://{parts.netloc}", user)
