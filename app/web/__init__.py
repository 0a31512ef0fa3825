"""The web half: receiving leads, and being watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.web import health, problem, receive

if TYPE_CHECKING:
    from app.wiring import Wiring


def make_app(wiring: Wiring) -> Flask:
    """Make the WSGI application."""
    app = Flask("app.web", static_folder=None)
    app.extensions["leadwire"] = wiring
    app.register_blueprint(receive.make_blueprint(wiring))
    app.register_blueprint(health.make_blueprint(wiring))
    problem.register(app)
    proxies = wiring.settings.server.trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    return app
