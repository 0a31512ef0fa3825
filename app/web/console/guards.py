"""Who may see a page and who may act: asked once for every request of the console, here and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, current_app, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface

from app.access import OPERATOR, Session
from app.store import StoreUnavailable
from app.store.acts import Who

if TYPE_CHECKING:
    from flask import Flask, Request
    from flask.sessions import SecureCookieSession
    from werkzeug.wrappers import Response as Answer

    from app.access import Access

ROOT = "/console"
THEMES = ("auto", "light", "dark")
OPEN = {"sign_in", "signing_in", "static", "entra_begin", "entra_answer", "theme"}  # for who is not signed in
READERS_POST = {"leads_search", "explain", "explain_text", "sign_out", "signing_in", "theme"}  # changes nothing of ours
COOKIE = "key"
PASTED = {"text", "body"}  # fields of forms that are read as they come, and looked for nowhere


class CookiesOfTheConsole(SecureCookieSessionInterface):
    """Sessions for the console's pages only: a lead that comes in pays nothing for them."""

    def __init__(self, access: Access, *, secure: bool) -> None:
        """Take the door, and whether the outside reaches us by TLS."""
        self._access = access
        self._secure = secure

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the cookie, signed with the store's own key so that every process and host knows it."""
        if not request.path.startswith(ROOT):
            return self.make_null_session(app)
        if not app.secret_key:
            try:
                app.secret_key = self._access.cookie_key()
            except StoreUnavailable:  # an exception here would find no page to be told on: `admit` raises it
                return self.make_null_session(app)
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        """Give the cookie to TLS only, wherever there is any."""
        del app
        return self._secure or request.is_secure


def guard(blueprint: Blueprint, access: Access) -> None:
    """Let nobody in who isn't signed in, and have nobody act who may only look."""

    @blueprint.before_request
    def admit() -> Answer | None:
        name = (request.endpoint or "").removeprefix("console.")
        if name == "static":
            return None
        if current_app.session_interface.is_null_session(session):
            msg = "the key of the console's cookies could not be read"
            raise StoreUnavailable(msg)
        g.signed_in = access.session(session[COOKIE]) if COOKIE in session else None
        if request.method not in ("GET", "HEAD"):
            _see_token()
        if name in OPEN:
            return None
        if g.signed_in is None:
            wanted = request.full_path.rstrip("?") if request.method == "GET" else url_for("console.overview")
            return redirect(url_for("console.sign_in", next=wanted))
        if request.method not in ("GET", "HEAD") and name not in READERS_POST and g.signed_in.role != OPERATOR:
            abort(403)
        _see_letters()
        return None


def _see_token() -> None:
    """Refuse a form that no page of ours made."""
    from flask_wtf.csrf import validate_csrf  # noqa: PLC0415  (not for who only receives)
    from wtforms import ValidationError  # noqa: PLC0415

    try:
        validate_csrf(request.form.get("csrf_token") or request.headers.get("X-CSRFToken"))
    except ValidationError:
        abort(400)


def _see_letters() -> None:
    """Let nothing be looked for that PostgreSQL can't be asked for, and no page of ours leads to: NUL."""
    given = (*request.args.items(multi=True), *request.form.items(multi=True))
    if "\0" in request.path or any("\0" in text for name, text in given if name not in PASTED):
        abort(404)


def signed_in() -> Session | None:
    """Give who is signed in."""
    found: Session | None = g.get("signed_in")
    return found


def may_act() -> bool:
    """Whether who is signed in may change things and see what is personal."""
    found = signed_in()
    return found is not None and found.role == OPERATOR


def who(why: str = "") -> Who:
    """Give who acts, for the audit."""
    found = signed_in()
    if found is None:  # `admit` lets nobody come here
        abort(403)
    return Who(found.actor, why)


def viewer_zone() -> ZoneInfo:
    """Give the time zone that the browser said, else UTC."""
    try:
        return ZoneInfo(request.cookies.get("tz", "UTC"))
    except (ValueError, OSError, KeyError):
        return ZoneInfo("UTC")


def inside(target: str | None) -> str:
    """Give a page of the console to go on to, never one elsewhere."""
    wanted = target or ""
    home = url_for("console.overview")
    return wanted if re.fullmatch(r"/console/[!-\[\]-~]*", wanted) else home
