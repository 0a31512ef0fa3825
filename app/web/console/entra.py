"""Signing in with Microsoft Entra: the authorization code flow with PKCE, roles from the application's app roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, redirect, render_template, request, session, url_for

from app.access import OPERATOR, READER
from app.log import logger
from app.web.console.guards import inside
from app.web.console.signing_in import enter

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as Answer

    from app.wiring import Wiring

log = logger("console")
FLOW, NEXT = "flow", "next"
ROLES = {"Leadwire.Operator": OPERATOR, "Leadwire.Reader": READER}  # the stronger one first
KEPT = ("state", "redirect_uri", "scope", "auth_uri", "code_verifier", "nonce", "claims_challenge")


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the two steps; both are 404 unless `[console] sign_in = "entra"`."""

    @blueprint.get("/entra/begin")
    def entra_begin() -> Answer | tuple[str, int]:
        try:
            flow = _application(wiring).initiate_auth_code_flow([], redirect_uri=_answer_url(wiring))
        except (ValueError, OSError) as exc:  # the authority can't be reached, or doesn't know the tenant
            return _refused(
                wiring, f"Microsoft Entra can't be asked ({type(exc).__name__}): see `authority` and `tenant_id`."
            )
        if "auth_uri" not in flow:
            return _refused(wiring, _explained(wiring, flow))
        session[FLOW] = {name: value for name, value in flow.items() if name in KEPT}
        session[NEXT] = inside(request.args.get("next"))
        return redirect(flow["auth_uri"])

    @blueprint.get("/entra/answer")
    def entra_answer() -> Answer | tuple[str, int]:
        flow = session.pop(FLOW, None)
        if flow is None:
            return _refused(wiring, "This sign-in was begun in another window or too long ago. Begin again.")
        try:
            result = _application(wiring).acquire_token_by_auth_code_flow(flow, request.args.to_dict())
        except (ValueError, RuntimeError, OSError) as exc:  # a wrong state or nonce, a token that isn't for us
            log.warning("sign-in.refused", exception=type(exc).__name__)
            return _refused(wiring, "The answer does not belong to this sign-in. Begin again.")
        claims = result.get("id_token_claims")
        if claims is None:
            return _refused(wiring, _explained(wiring, result))
        return _admit(wiring, claims)


def _admit(wiring: Wiring, claims: dict[str, Any]) -> Answer | tuple[str, int]:
    if str(claims.get("tid", "")).casefold() != str(wiring.settings.console.tenant_id).casefold():
        return _refused(wiring, "That account is of another tenant.")
    given = claims.get("roles") or []
    role = next((role for name, role in ROLES.items() if name in given), None)
    actor = str(claims.get("preferred_username") or claims.get("oid"))
    if role is None:
        return _refused(
            wiring,
            "This account has no role here. In the Entra admin centre, Enterprise applications, this application, "
            "Users and groups, whoever manages it assigns Leadwire.Operator or Leadwire.Reader.",
        )
    wanted = session.get(NEXT)
    enter(wiring.access.open_session(f"console:{actor}", role))
    return redirect(inside(wanted))


def _application(wiring: Wiring) -> Any:  # noqa: ANN401  (msal has no types)
    console = wiring.settings.console
    if console.sign_in != "entra" or console.client_secret is None:
        abort(404)
    import msal  # type: ignore[import-untyped]  # noqa: PLC0415  (slow to import; only who signs in this way pays for it)

    from app.destinations.base import http_session  # noqa: PLC0415

    return msal.ConfidentialClientApplication(
        console.client_id,
        client_credential=console.client_secret.reveal(),
        authority=f"{console.authority}/{console.tenant_id}",
        http_client=http_session(console.ca_bundle),
        instance_discovery=console.authority == "https://login.microsoftonline.com",
    )


def _answer_url(wiring: Wiring) -> str:
    return wiring.settings.server.public_url + url_for("console.entra_answer")


def _explained(wiring: Wiring, result: dict[str, Any]) -> str:
    """Say what Entra refused, in the catalogue's words where it knows the error."""
    entry = wiring.operations.explain(str(result.get("error_description") or result.get("error") or "")).entry
    code = str((result.get("error_codes") or [result.get("error") or "unknown"])[0])
    log.warning("sign-in.refused", code=entry.code if entry else code)
    if entry is None:
        return f"Microsoft Entra refused: {code}."
    return f"{entry.title}. {entry.remedy[0] if entry.remedy else entry.cause}"


def _refused(wiring: Wiring, fault: str) -> tuple[str, int]:
    page = render_template(
        "console/sign_in.html",
        fault=fault,
        entra=wiring.settings.console.sign_in == "entra",
        possible=True,
        where=wiring.settings.where,
        reference=None,
        next=url_for("console.overview"),
    )
    return page, 403
