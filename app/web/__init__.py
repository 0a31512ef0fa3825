"""The web half: receiving leads, being watched, `/api/v1`, and the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.web import api, health, problem, receive

if TYPE_CHECKING:
    from app.wiring import Wiring


def make_app(wiring: Wiring) -> Flask:
    """Make the WSGI application."""
    app = Flask("app.web", static_folder=None)
    app.extensions["leadwire"] = wiring
    app.register_blueprint(receive.make_blueprint(wiring))
    app.register_blueprint(health.make_blueprint(wiring))
    problem.register(app)
    api.register(app, wiring)
    if wiring.settings.console.enabled:
        from app.web.console import install  # noqa: PLC0415  (templates and forms, for who wants them)

        install(app, wiring)
    proxies = wiring.settings.server.trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    return app
