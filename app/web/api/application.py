"""The API's own Flask application."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask import Flask, Response
from flask_smorest import Api  # type: ignore[import-untyped]

from app import __version__
from app.web.api import (
    DOCUMENT,
    audit,
    deliveries,
    destinations,
    erasing,
    faults,
    guard,
    leads,
    overview,
    problems,
    quarantine,
    reconciliation,
    settings,
    testing,
    tokens,
)
from app.web.api.document import complete
from app.web.api.schemas import Problem

if TYPE_CHECKING:
    from app.wiring import Wiring

PARTS = (
    overview,
    problems,
    leads,
    erasing,
    deliveries,
    destinations,
    testing,
    quarantine,
    reconciliation,
    settings,
    audit,
    tokens,
)


class _Described(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's part that gathers the document; errors have our shape."""

    ERROR_SCHEMA = Problem


def make_api(wiring: Wiring) -> Flask:
    """Make the application that answers `/api/v1` and `/openapi.json`."""
    api = Flask("app.web.api", static_folder=None)
    api.url_map.merge_slashes = False  # what would be merged is redirected, by a page of HTML
    api.extensions["leadwire"] = wiring
    api.config |= {
        "API_TITLE": "Leadwire",
        "API_VERSION": __version__,
        "OPENAPI_VERSION": "3.1.0",
        "PROVIDE_AUTOMATIC_OPTIONS": False,
    }
    api.json.sort_keys = False  # type: ignore[attr-defined]
    described = _Described(api)
    for topic in PARTS:
        described.register_blueprint(topic.part)
    faults.register(api)
    readers = {name for topic in PARTS for name in topic.part.readers}
    guard.register(api, wiring, public={"document"}, readers=readers)
    text = json.dumps(complete(described.spec.to_dict()))

    @api.get(DOCUMENT)
    def document() -> Response:
        return Response(text, mimetype="application/json")

    @api.after_request
    def keep_out_of_caches(answer: Response) -> Response:
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return api
