"""Flask's side of `answers`: every error of its application in the one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from app.store import StoreUnavailable
from app.web import answers

if TYPE_CHECKING:
    from collections.abc import Mapping


def problem(status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Response:  # noqa: ANN401
    """Make a problem response; `more` are further members, such as `errors`."""
    return _response(answers.problem(status, title, detail, headers=headers, **more))


def register(app: Flask) -> None:
    """Answer every error in the one shape."""
    for kind in (StoreUnavailable, HTTPException, Exception):
        app.register_error_handler(kind, _failure)


def _failure(exc: Exception) -> Response:
    if isinstance(exc, HTTPException):
        headers = {name: value for name, value in exc.get_headers() if name in ("Allow", "Retry-After", "Location")}
        code = exc.code or 500
        return problem(code, exc.name, answers.DETAILS.get(code, exc.name), headers=headers)
    return _response(answers.failure(exc))


def _response(answer: answers.Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)
