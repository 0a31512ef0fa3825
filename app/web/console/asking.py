"""What the pages' forms have in common: the reason given, and how what can't be done is said."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import flash, redirect, request, url_for

from app.operations import NotPossible
from app.web.console.guards import who

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.store.acts import Who

WHY = 200  # letters of a reason


def reasoned() -> Who:
    """Give who acts, with the reason they typed, for the audit."""
    return who(" ".join(request.form.get("why", "").split())[:WHY])


def said(endpoint: str, *, whole: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a view say what can't be done on the page of `endpoint`: the same thing's, or the `whole` page of all."""

    def decorated(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def polite(**place: Any) -> Any:  # noqa: ANN401  (whatever the view answers)
            try:
                return view(**place)
            except NotPossible as refused:
                flash(str(refused), "danger")
                return redirect(url_for(endpoint) if whole else url_for(endpoint, **place))

        return polite

    return decorated
