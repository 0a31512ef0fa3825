"""Signing in with Microsoft Entra: the authorization code flow with PKCE, roles from the application's app roles."""

from __future__ import annotations

import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, redirect, render_template, request, session, url_for

from app.access import OPERATOR, READER
from app.log import logger
from app.web.console.guards import inside
from app.web.console.signing_in import enter

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests
    from werkzeug.wrappers import Response as Answer

    from app.wiring import Wiring

log = logger("console")
FLOW, NEXT = "flow", "next"
ROLES = {"Leadwire.Operator": OPERATOR, "Leadwire.Reader": READER}  # the stronger one first
KEPT = ("state", "redirect_uri", "scope", "auth_uri", "code_verifier", "nonce", "claims_challenge")
NAME = 200  # letters of a name that are kept
SKEW = 120  # seconds that Entra's clock and ours may differ


class NotAdmitted(Exception):  # noqa: N818  (an answer, not a fault)
    """Somebody who can't come in; the message is for them."""


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the two steps; both are 404 unless `[console] sign_in = "entra"`."""

    @blueprint.get("/entra/begin")
    def entra_begin() -> Answer | tuple[str, int]:
        return _politely(wiring, _begin)

    @blueprint.get("/entra/answer")
    def entra_answer() -> Answer | tuple[str, int]:
        return _politely(wiring, _answer)


def _politely(wiring: Wiring, step: Callable[[Wiring, requests.Session], Answer]) -> Answer | tuple[str, int]:
    """Take a step; whoever can't come in is told why on the page they came from."""
    if wiring.settings.console.sign_in != "entra":
        abort(404)
    from msal.exceptions import MsalServiceError  # type: ignore[import-untyped]  # noqa: PLC0415  (slow to import)

    from app.destinations.base import http_session  # noqa: PLC0415

    try:
        with closing(http_session(wiring.settings.console.ca_bundle)) as http:
            return step(wiring, http)
    except NotAdmitted as refused:
        return _page(str(refused)), 403
    except (
        OSError,
        MsalServiceError,
    ) as exc:  # the network, a certificate, an answer that isn't JSON, Entra's own fault
        log.warning("sign-in.failed", exception=type(exc).__name__)
        return _page(
            f"Microsoft Entra can't be reached from here ({type(exc).__name__}). Try again in a moment; if it stays "
            "so, check the network, and [console] authority and ca_bundle.",
        ), 503


def _begin(wiring: Wiring, http: requests.Session) -> Answer:
    # A posted answer would come from another site, and so without our cookie. In the address the code is worth nothing
    # to others: it is good once, and only with the verifier that is in the cookie.
    warnings.filterwarnings("ignore", message="response_mode=", category=UserWarning)
    flow = _application(wiring, http).initiate_auth_code_flow([], redirect_uri=_answer_url(wiring))
    session[FLOW] = {name: value for name, value in flow.items() if name in KEPT}
    session[NEXT] = inside(request.args.get("next"))
    return redirect(flow["auth_uri"])


def _answer(wiring: Wiring, http: requests.Session) -> Answer:
    flow = session.pop(FLOW, None)
    if flow is None:
        msg = (
            "This sign-in was begun in another window, too long ago, or under another address than "
            f"{wiring.settings.server.public_url}. Begin again there."
        )
        raise NotAdmitted(msg)
    application = _application(wiring, http)
    try:
        result = application.acquire_token_by_auth_code_flow(flow, request.args.to_dict())
    except (ValueError, RuntimeError) as exc:  # another's state, or a token with another's nonce
        raise _foreign(exc) from None
    if "id_token" not in result:
        raise NotAdmitted(_explained(wiring, result))
    wanted = session.get(NEXT)
    actor, role = _recognised(_claims(wiring, http, str(result["id_token"])))
    enter(wiring.access.open_session(f"console:{actor}", role))
    return redirect(inside(wanted))


def _claims(wiring: Wiring, http: requests.Session, token: str) -> dict[str, Any]:
    """Read the token once it is proved to be of our tenant, for our application, live, and signed; msal looks at none.

    Raises:
        NotAdmitted: it is not.

    """
    import jwt  # noqa: PLC0415

    console = wiring.settings.console
    told = http.get(f"{console.authority}/{console.tenant_id}/v2.0/.well-known/openid-configuration").json()
    keys = http.get(told["jwks_uri"]).json()["keys"]
    try:
        wanted = jwt.get_unverified_header(token).get("kid")
        key = next(jwt.PyJWK(one, algorithm="RS256") for one in keys if one.get("kid") == wanted)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=console.client_id,
            issuer=told["issuer"],
            leeway=SKEW,
            options={"require": ["aud", "exp", "iss", "tid"]},
        )
    except jwt.InvalidIssuerError:
        msg = "That account is of another tenant than [console] tenant_id."
        raise NotAdmitted(msg) from None
    except (jwt.PyJWTError, StopIteration) as exc:
        raise _foreign(exc) from None
    return claims


def _foreign(exc: Exception) -> NotAdmitted:
    log.warning("sign-in.refused", exception=type(exc).__name__)  # its message may quote the token
    return NotAdmitted("The answer does not belong to this sign-in. Begin again.")


def _recognised(claims: dict[str, Any]) -> tuple[str, str]:
    """Give who it is and their role."""
    given = claims.get("roles") or []
    role = next((role for name, role in ROLES.items() if name in given), None)
    if role is None:
        msg = (
            "This account has no role here. In the Entra admin centre, Enterprise applications, this application, "
            "Users and groups, whoever manages it assigns Leadwire.Operator or Leadwire.Reader."
        )
        raise NotAdmitted(msg)
    return str(claims.get("preferred_username") or claims.get("oid") or claims.get("sub"))[:NAME], role


def _application(wiring: Wiring, http: requests.Session) -> Any:  # noqa: ANN401  (msal has no types)
    import msal  # type: ignore[import-untyped]  # noqa: PLC0415

    console = wiring.settings.console
    try:
        return msal.ConfidentialClientApplication(
            console.client_id,
            client_credential=console.client_secret.reveal() if console.client_secret is not None else None,
            authority=f"{console.authority}/{console.tenant_id}",
            http_client=http,
            instance_discovery=console.authority == "https://login.microsoftonline.com",
            exclude_scopes=["offline_access"],  # who it is, once: nothing is done in their name later
        )
    except ValueError as exc:  # the discovery was answered by something else, or the tenant is not known
        raise NotAdmitted(_explained(wiring, {"error_description": str(exc)})) from None


def _answer_url(wiring: Wiring) -> str:
    return wiring.settings.server.public_url + url_for("console.entra_answer")


def _explained(wiring: Wiring, result: dict[str, Any]) -> str:
    """Say what Entra refused, in the catalogue's words where it knows the error."""
    entry = wiring.operations.explain(str(result.get("error_description") or result.get("error") or "")).entry
    if entry is None:
        code = str((result.get("error_codes") or [result.get("error") or "no reason given"])[0])[:NAME]
        log.warning("sign-in.refused", code="unknown")
        return f"Microsoft Entra refused: {code}. Check [console] authority, tenant_id, client_id and client_secret."
    log.warning("sign-in.refused", code=entry.code)
    return f"{entry.title}. {entry.remedy[0] if entry.remedy else entry.cause}"


def _page(fault: str) -> str:
    return render_template(
        "console/sign_in.html",
        fault=fault,
        entra=True,
        possible=True,
        where=None,
        reference=None,
        next=url_for("console.overview"),
    )
