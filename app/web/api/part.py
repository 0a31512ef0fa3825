"""How an endpoint is declared: one decorator says address, role, what it takes and gives, and how it can fail."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Response, current_app
from flask_smorest import Blueprint  # type: ignore[import-untyped]

from app.operations import NotPossible
from app.web.api import PREFIX
from app.web.api.faults import not_possible
from app.web.api.reading import Parser
from app.web.api.schemas import Asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from marshmallow import Schema

    from app.operations import Operations
    from app.wiring import Wiring

View = TypeVar("View", bound="Callable[..., Any]")
NO_CONTENT = 204


class Part(Blueprint):  # type: ignore[misc]  # flask-smorest has no types
    """The endpoints of one topic; `readers` has the names of those that the role reader may use."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, description: str) -> None:
        """Take the topic's name and what it is about."""
        super().__init__(name, __name__, url_prefix=PREFIX, description=description)
        self.readers: set[str] = set()

    def endpoint(
        self,
        method: str,
        path: str,
        *,
        gives: type[Schema] | None,
        query: type[Schema] = Asked,
        body: type[Schema] | None = None,
        reader: bool = False,
        status: int = 200,
        refusal: int | None = None,
    ) -> Callable[[View], View]:
        """Declare a view; it is called with what the query and the body hold and the path's parts.

        The path's `id` is given as `id_`. `refusal` is the status when Operations say that it is not possible: 404
        where only the path can be wrong, 409 where the rest of the request can; None: they never do.
        """

        def declare(view: View) -> View:
            made: Any = _answering(view, refusal)
            if body is not None:
                made = self.arguments(body, required=any(one.required for one in body().fields.values()))(made)
            made = self.arguments(query, location="query")(made)
            made = self.response(status, gives)(made)
            access = "reader" if reader else "operator"
            made = self.doc(operationId=view.__name__, **{"x-role": access, "x-refusal": refusal})(made)
            if reader:
                self.readers.add(f"{self.name}.{view.__name__}")
            self.route(path, methods=[method])(made)
            return view

        return declare


def _answering(view: Callable[..., Any], refusal: int | None) -> Callable[..., Any]:
    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (whatever the view gives)
        asked = {name: value for one in args for name, value in one.items()}
        if "id" in kwargs:
            asked["id_"] = str(kwargs.pop("id"))
        try:
            given = view(**kwargs, **asked)
        except NotPossible as exc:
            if refusal is None:
                raise
            return not_possible(refusal, str(exc))
        return Response(status=NO_CONTENT) if given is None else given

    return answer


def wiring() -> Wiring:
    """Give what this application was made with."""
    made: Wiring = current_app.extensions["leadwire"]
    return made


def operations() -> Operations:
    """Give the verbs."""
    return wiring().operations
