"""Signing in and out, and the theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, redirect, render_template, request, session, url_for

from app.access import Refused
from app.web.console.guards import COOKIE, ROOT, inside, signed_in
from app.web.console.shown import span

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as Answer

    from app.wiring import Wiring

YEAR = 31_536_000  # seconds


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the pages."""
    access, console = wiring.access, wiring.settings.console

    def page(fault: str | None = None) -> str:
        return render_template(
            "console/sign_in.html",
            fault=fault,
            entra=console.sign_in == "entra",
            possible=console.sign_in == "entra" or console.password is not None,
            where=wiring.settings.where,
            reference=console.password.reference if console.password is not None else None,
            next=inside(request.values.get("next")),
        )

    @blueprint.get("/sign-in")
    def sign_in() -> str | Answer:
        return redirect(inside(request.args.get("next"))) if signed_in() else page()

    @blueprint.post("/sign-in")
    def signing_in() -> str | Answer | tuple[str, int]:
        if console.sign_in != "password":
            return redirect(url_for("console.sign_in"))
        given = access.sign_in(request.form.get("password", "")[:1000], address=request.remote_addr or "")
        if isinstance(given, Refused):
            again = f" Wait {span(given.wait_seconds)} before the next try." if given.wait_seconds else ""
            return page(f"That is not the password.{again}"), 429 if given.wait_seconds else 401
        enter(given)
        return redirect(inside(request.form.get("next")))

    @blueprint.post("/sign-out")
    def sign_out() -> Answer:
        if COOKIE in session:
            access.sign_out(session[COOKIE])
        session.clear()
        return redirect(url_for("console.sign_in"))

    @blueprint.post("/theme")
    def theme() -> Answer:
        response = redirect(inside(request.form.get("next")))
        wanted = request.form.get("theme", "auto")
        response.set_cookie("theme", wanted, max_age=YEAR, path=ROOT, samesite="Lax", secure=request.is_secure)
        return response


def enter(cookie: str) -> None:
    """Begin the browser's session anew, so that one begun by somebody else for them is worth nothing."""
    session.clear()
    session[COOKIE] = cookie
