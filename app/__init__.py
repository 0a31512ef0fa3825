"""Leadwire: receives marketplace leads, keeps them safe and delivers each one once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings

__version__ = "0.1.0"


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application; without settings, from the configuration file as every command finds it.

    Raises:
        ConfigError: the configuration can't be used.

    """
    from app.web import make_app  # noqa: PLC0415  (importing the package must not start a web framework)
    from app.wiring import Wiring  # noqa: PLC0415

    return make_app(Wiring.of(settings) if settings is not None else Wiring.from_file())
