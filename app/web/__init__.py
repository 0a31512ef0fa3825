"""The web half: receiving leads, being watched, `/api/v1`, and the console."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from app.web.gathering import Gathering
from app.web.limits import Limit, caller, household, too_many
from app.web.receive import PATHS, Receiver, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask import Flask

    from app.web.receive import Message, Receive, Send
    from app.wiring import Wiring

PEOPLE = 8  # requests at once in one receiver that are no leads; with more of them, leads wait longer


class Front:
    """What a receiver serves (ASGI): leads at once; Flask is loaded when somebody asks for anything else."""

    def __init__(self, wiring: Wiring) -> None:
        """Take the wiring."""
        self._wiring = wiring
        self._receiver = Receiver(wiring)
        self._others: Callable[..., Any] | None = None
        self._loading = asyncio.Lock()
        self._gathering = Gathering(wiring.settings.server.max_body_bytes)
        self._proxies = wiring.settings.server.trusted_proxies
        self._pace = Limit(wiring.settings.limits.requests_a_minute)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] in PATHS:
            await self._receiver(scope, receive, send)
        elif wait := self._pace.take(household(caller(scope, self._proxies))):
            await tell(scope, send, too_many(wait, "[limits] requests_a_minute allows no more from this address."))
        else:
            others = self._others or await self._load()
            async with self._gathering(scope, receive, send) as whole:
                if whole is not None:
                    await others(scope, whole, send)

    async def _load(self) -> Callable[..., Any]:
        async with self._loading:
            if self._others is None:
                self._others = await asyncio.to_thread(self._make)
        return self._others

    def _make(self) -> Callable[..., Any]:
        from a2wsgi import WSGIMiddleware  # noqa: PLC0415  (what leads don't need)

        return WSGIMiddleware(cast("Any", make_app(self._wiring).wsgi_app), workers=PEOPLE)


def make_app(wiring: Wiring) -> Flask:
    """Make the whole as a WSGI application, for servers that know no other; leads pass it through a bridge."""
    from a2wsgi import ASGIMiddleware  # noqa: PLC0415  (what leads don't need, and as below)
    from flask import Flask  # noqa: PLC0415
    from werkzeug.middleware.proxy_fix import ProxyFix  # noqa: PLC0415

    from app.web import api, health, problem  # noqa: PLC0415

    app = Flask("app.web", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # Werkzeug's own redirects name host and scheme as the request did, and browsers keep them: behind a proxy that
    # is not told of, TLS would be left for good.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    app.extensions["leadwire"] = wiring
    app.register_blueprint(health.make_blueprint(wiring))
    problem.register(app)
    api.register(app, wiring)
    if wiring.settings.console.enabled:
        from app.web.console import install  # noqa: PLC0415  (templates and forms, for who wants them)

        install(app, wiring)
    leads = cast("WSGIApplication", ASGIMiddleware(cast("Any", Receiver(wiring))))
    others: WSGIApplication = app.wsgi_app
    proxies = wiring.settings.server.trusted_proxies
    if proxies:
        others = ProxyFix(others, x_for=proxies, x_proto=proxies)
    app.wsgi_app = _by_path(leads, others)  # type: ignore[assignment,method-assign]
    return app


def _by_path(leads: WSGIApplication, others: WSGIApplication) -> WSGIApplication:
    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return (leads if environ.get("PATH_INFO") in PATHS else others)(environ, start_response)

    return serve
