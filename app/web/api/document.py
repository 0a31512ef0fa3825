"""`/openapi.json`: what flask-smorest gathers, with every error an endpoint can answer, and the addresses beside."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from app.web.api import PREFIX
from app.web.api.document_beside import PATHS

BEARER = {"token": {"type": "http", "scheme": "bearer", "description": "A token of `/api/v1`."}}
KEY = {
    "key": {"type": "apiKey", "in": "query", "name": "code", "description": "A source's key."},
    "keyAsBearer": {"type": "http", "scheme": "bearer", "description": "A source's key."},
}
CHALLENGE = {
    "WWW-Authenticate": {
        "description": "Asks for a bearer token (RFC 6750).",
        "required": True,
        "schema": {"type": "string"},
    }
}
RETRY = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
}
LINK = {
    "Link": {"description": 'The next page as `<…>; rel="next"`, where there is one.', "schema": {"type": "string"}}
}
WORDS = {
    400: "The body is not JSON, or says something twice.",
    401: "No token, or none that is live.",
    403: "This needs a token with the role operator.",
    404: "There is no such thing.",
    409: "That can't be done as things stand; `detail` says why and what to do instead.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not declared as application/json.",
    422: "Something in the request is not allowed; `errors` names field, what was found, what is allowed.",
    429: "Too many requests from this address, or too many wrong tokens.",
    500: "A fault of ours; it is logged.",
    503: "The store can't be used at the moment; nothing was done.",
}
HEADERS = {401: CHALLENGE, 403: CHALLENGE, 429: RETRY, 503: RETRY}
DESCRIPTION = (
    "Receives marketplace leads, keeps them safe and delivers them. Everything under `/api/v1` needs a bearer token: "
    "one with the role `reader` looks (personal values masked), searches and explains; `operator` does everything. "
    "Lists come a page at a time: give `next` as `before` to go on. Times are RFC 3339 in UTC."
)


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Give the whole document from what flask-smorest made of the endpoints."""
    components = document["components"]
    used = {"Problem", "Fault"}
    paths = {path: _path(path, operations) for path, operations in document["paths"].items()}
    return {
        **document,
        "info": {**document["info"], "description": DESCRIPTION},
        "paths": {**paths, **PATHS},
        "components": {
            "schemas": components["schemas"] | {name: components["schemas"][name] for name in used},
            "responses": {_name(status): _problem(status) for status in WORDS},
            "securitySchemes": {**BEARER, **KEY},
        },
    }


def _path(path: str, operations: dict[str, Any]) -> dict[str, Any]:
    return {
        method: _operation(path, method, found) if isinstance(found, dict) else found
        for method, found in operations.items()
    }


def _operation(path: str, method: str, found: dict[str, Any]) -> dict[str, Any]:
    role, refusal = found.pop("x-role"), found.pop("x-refusal", None)
    statuses = [401, 422, 429, 500, 503]
    statuses += [403] * (role == "operator") + [404] * ("{" in path) + [refusal] * (refusal is not None)
    statuses += [400, 413, 415] * ("requestBody" in found)
    good = {status: answer for status, answer in found["responses"].items() if status.startswith("2")}
    if path == f"{PREFIX}/leads" and method == "get":
        good["200"]["headers"] = LINK
    failing = {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in sorted(set(statuses))}
    return {
        **found,
        "description": f"Role: {role}." if role == "operator" else "Role: reader or operator.",
        "security": [{"token": []}],
        "responses": good | failing,
    }


def _name(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def _problem(status: int) -> dict[str, Any]:
    headers = {"headers": HEADERS[status]} if status in HEADERS else {}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": WORDS[status], "content": content, **headers}
