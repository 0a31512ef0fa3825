"""Signing in and out, and the theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, session, url_for

from app.access import HASHED, Refused
from app.web.console.guards import COOKIE, ROOT, THEMES, inside, signed_in

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as Answer

    from app.wiring import Wiring

YEAR = 31_536_000  # seconds


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the pages."""
    access, console = wiring.access, wiring.settings.console
    # Of a hash nobody learns the password by being told where it stands.
    plain = console.password is not None and not console.password.reveal().startswith(HASHED)
    _keep_theme(blueprint, secure=wiring.settings.server.public_url.startswith("https://"))

    def page(fault: str | None = None) -> str:
        return render_template(
            "console/sign_in.html",
            fault=fault,
            entra=console.sign_in == "entra",
            possible=console.sign_in == "entra" or console.password is not None,
            where=wiring.settings.where,
            reference=console.password.reference if console.password is not None and plain else None,
            next=inside(request.values.get("next")),
        )

    @blueprint.get("/sign-in")
    def sign_in() -> str | Answer:
        return redirect(inside(request.args.get("next"))) if signed_in() else page()

    @blueprint.post("/sign-in")
    def signing_in() -> Answer | tuple[str, int] | tuple[str, int, dict[str, str]]:
        if console.sign_in != "password":
            return redirect(url_for("console.sign_in"))
        given = access.sign_in(request.form.get("password", "")[:1000], address=request.remote_addr or "")
        if isinstance(given, Refused):
            if not given.wait_seconds:
                return page(_said(given)), 401
            return page(_said(given)), 429, {"Retry-After": str(given.wait_seconds)}
        enter(given)
        return redirect(inside(request.form.get("next")))

    @blueprint.post("/sign-out")
    def sign_out() -> Answer:
        if COOKIE in session:
            access.sign_out(session[COOKIE])
        session.clear()
        return redirect(url_for("console.sign_in"))


def _keep_theme(blueprint: Blueprint, *, secure: bool) -> None:
    @blueprint.post("/theme")
    def theme() -> Answer:
        response = redirect(inside(request.form.get("next")))
        wanted = request.form.get("theme")
        if wanted in THEMES:
            tls = secure or request.is_secure
            response.set_cookie("theme", wanted, max_age=YEAR, path=ROOT, samesite="Lax", secure=tls)
        return response


def _said(refused: Refused) -> str:
    """Say that it was wrong, or was not even looked at, and how long to wait."""
    seconds = refused.wait_seconds
    minutes = -(-seconds // 60)
    wait = f"{seconds} seconds" if seconds < 60 else "1 minute" if minutes == 1 else f"{minutes} minutes"  # noqa: PLR2004
    if not refused.looked:
        return f"Too many wrong passwords were tried. Wait {wait} before the next try: until then none is looked at."
    return f"That is not the password. Wait {wait} before the next try." if seconds else "That is not the password."


def enter(cookie: str) -> None:
    """Begin the browser's session anew, so that one begun by somebody else for them is worth nothing."""
    session.clear()
    session[COOKIE] = cookie
