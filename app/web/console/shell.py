"""The shell around the pages: blueprint, static files, filters, what every page shows, and errors in words."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, render_template, request, send_from_directory
from werkzeug.exceptions import HTTPException, NotFound

from app.log import logger, where_from
from app.operations import NotPossible
from app.store import StoreUnavailable
from app.web import headers
from app.web.console import (
    audit,
    entra,
    explain,
    leads,
    overview,
    problems,
    quarantine,
    settings,
    signing_in,
    testing,
)
from app.web.console.guards import ROOT, THEMES, CookiesOfTheConsole, guard, may_act, signed_in
from app.web.console.shown import ago_of, number, prose, span, when

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.wiring import Wiring

log = logger("console")
STATIC = Path(__file__).resolve().parents[1] / "static" / "console"
PAGES = (overview, problems, leads, testing, quarantine, explain, settings, audit)
YEAR = 31_536_000  # seconds


def install(app: Flask, wiring: Wiring) -> None:
    """Add the console to the application."""
    from flask_bootstrap import Bootstrap5  # noqa: PLC0415  (not for who only receives)

    secure = wiring.settings.server.public_url.startswith("https://")
    app.session_interface = CookiesOfTheConsole(wiring.access, secure=secure)
    app.config.update(
        SESSION_COOKIE_NAME="leadwire",
        SESSION_COOKIE_PATH=ROOT,
        SESSION_COOKIE_SAMESITE="Lax",
        BOOTSTRAP_SERVE_LOCAL=True,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
    app.static_url_path = "/static"
    Bootstrap5(app)
    _guard_bootstrap(app)
    app.register_blueprint(_blueprint(wiring))


def _guard_bootstrap(app: Flask) -> None:
    """Give Bootstrap's own files, which anybody may have, the headers of all that a browser gets."""

    @app.after_request
    def finish(response: Response) -> Response:
        return headers.guard(response, secure=request.is_secure) if request.blueprint == "bootstrap" else response


def _blueprint(wiring: Wiring) -> Blueprint:
    blueprint = Blueprint("console", __name__, url_prefix=ROOT, template_folder="../templates")
    guard(blueprint, wiring.access)
    _serve_static(blueprint)
    _add_filters(blueprint, wiring)
    signing_in.register(blueprint, wiring)
    entra.register(blueprint, wiring)
    for page in PAGES:
        page.register(blueprint, wiring)
    _answer_errors(blueprint)

    @blueprint.get("/<path:anything>")
    def nothing(anything: str) -> str:
        del anything
        raise NotFound

    @blueprint.after_request
    def finish(response: Response) -> Response:
        return headers.guard(response, secure=request.is_secure)

    return blueprint


def _serve_static(blueprint: Blueprint) -> None:
    content = b"".join(one.read_bytes() for one in sorted(STATIC.iterdir()))
    version = sha256(content).hexdigest()[:12]
    blueprint.add_app_template_global(lambda: version, "static_version")

    @blueprint.get("/static/<path:filename>")
    def static(filename: str) -> Response:
        response = send_from_directory(STATIC, filename, max_age=YEAR)
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        return response


def _add_filters(blueprint: Blueprint, wiring: Wiring) -> None:
    operations = wiring.operations
    filters: dict[str, Callable[..., Any]] = {
        "when": when,
        "ago": ago_of(wiring.now),
        "number": number,
        "span": span,
        "prose": prose,
    }
    for name, made in filters.items():
        blueprint.add_app_template_filter(made, name)

    @blueprint.app_context_processor
    def common() -> dict[str, Any]:
        from flask_wtf.csrf import generate_csrf  # noqa: PLC0415

        theme = request.cookies.get("theme", "auto")
        return {
            "csrf_token": generate_csrf,
            "operator": may_act(),
            "signed_in": signed_in(),
            "theme": theme if theme in THEMES else "auto",
            "themes": THEMES,
            "waiting_for_people": lambda: {
                "problems": operations.problem_count(),
                "quarantine": operations.quarantined_count(),
            },
        }


def _answer_errors(blueprint: Blueprint) -> None:
    """Say on a page what went wrong, and what to do."""

    @blueprint.errorhandler(HTTPException)
    def refused(exc: HTTPException) -> tuple[str, int]:
        status = exc.code or 500
        return _page(status, *_WORDS.get(status, (exc.name, "Go back and try again."))), status

    @blueprint.errorhandler(NotPossible)
    def impossible(exc: NotPossible) -> tuple[str, int]:
        return _page(404, "That can't be done", str(exc)), 404

    @blueprint.errorhandler(StoreUnavailable)
    def unavailable(exc: StoreUnavailable) -> tuple[str, int, dict[str, str]]:
        log.error("store.unavailable", reason=str(exc))
        told = "The store can't be used at the moment. Senders are told to come again. Reload this page in a moment."
        return _page(503, "The store is away", told, bare=True), 503, {"Retry-After": "5"}

    @blueprint.errorhandler(Exception)
    def crashed(exc: Exception) -> tuple[str, int]:
        # The message may hold a person's data: only where it came from is told.
        log.error("request.crashed", exception=type(exc).__name__, frames=where_from(exc))
        return _page(500, "Leadwire has a fault", "It is logged. Leads are not affected.", bare=True), 500


def _page(status: int, title: str, text: str, *, bare: bool = False) -> str:
    return render_template("console/error.html", status=status, heading=title, text=text, bare=bare)


_WORDS = {
    400: (
        "This page was open too long",
        "The form is no longer valid, because you signed in or out since. Go back, reload the page and send it again.",
    ),
    403: (
        "Only operators may do that",
        "A reader sees everything but what is personal, and changes nothing. Whoever runs Leadwire can make you one.",
    ),
    404: ("There is nothing here", "The address is not, or no longer, one of the console's pages."),
    413: ("That was too much text", "Send less of it."),
}
