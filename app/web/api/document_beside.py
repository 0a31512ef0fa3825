"""The addresses outside `/api/v1`, as `/openapi.json` describes them."""

from __future__ import annotations

from typing import Any

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}


def _json(description: str, **properties: Any) -> dict[str, Any]:  # noqa: ANN401  (JSON Schema)
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401  (OpenAPI)
    return {"description": description, "content": PROBLEM, **more}


_PERSON = {
    "FirstName": "Some",
    "LastName": "One",
    "Email": "someone@contoso.com",
    "Country": "US",
    "Company": "Contoso",
}
_LEAD = {
    "UserDetails": _PERSON,
    "LeadSource": "AzureMarketplace",
    "ActionCode": "INS",
    "OfferTitle": "Test Microsoft",
    "Description": "Test run",
}
_TOO_MANY = {"429": _problem("Too many requests from this address.", headers=RETRY)}
_ANY = {"schema": {"description": "Any of the shapes that the marketplace sends."}, "example": _LEAD}
_LEADS_ERRORS = {
    "401": _problem(
        "No key, or a wrong one. Nothing was kept.",
        headers={"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}},
    ),
    "403": _problem("The key is right, and the address is not in its source's `networks`. Nothing was kept."),
    "408": _problem("The body did not come in time. Nothing was kept."),
    "429": _problem(
        "Too many wrong keys from this address, or too many leads with this key. Nothing was kept.", headers=RETRY
    ),
    "503": _problem("Our own trouble; nothing was kept. Send it again.", headers=RETRY),
}
_READY = _json("The key is live, and leads are taken by POST.", status={"const": "ready"}, detail={"type": "string"})
_TAKEN = _json(
    "It is on disk.",
    id={"type": "string", "format": "uuid"},
    status={"enum": ["accepted", "duplicate", "withheld"]},
    test={"type": "boolean"},
)
LEADS: dict[str, Any] = {
    "get": {
        "operationId": "leads_ready",
        "summary": "Whether this is the right address",
        "tags": ["receiving"],
        "security": [{"key": []}, {"keyAsBearer": []}],
        "responses": {"200": _READY, **_LEADS_ERRORS},
    },
    "post": {
        "operationId": "receive_lead",
        "summary": "Take in a lead",
        "description": "What can't be read as a lead is kept in quarantine under `quarantine_id`.",
        "tags": ["receiving"],
        "security": [{"key": []}, {"keyAsBearer": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": _ANY,
                "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
                "multipart/form-data": {"schema": {"type": "object"}},
            },
        },
        "responses": {
            "202": _TAKEN,
            "400": _problem("Not well-formed, or wrongly encoded; it is kept in quarantine."),
            "413": _problem("Larger than [server] max_body_bytes. Nothing was kept."),
            "415": _problem("Neither JSON nor a form; it is kept in quarantine."),
            "422": _problem("Nothing in it identifies a person; it is kept in quarantine."),
            **_LEADS_ERRORS,
        },
    },
}
PATHS: dict[str, Any] = {
    "/leads": LEADS,
    "/healthz": {
        "get": {
            "operationId": "healthz",
            "summary": "Whether the process is alive",
            "tags": ["watching"],
            "security": [],
            "responses": {"200": _json("It is.", status={"const": "alive"}), **_TOO_MANY},
        }
    },
    "/readyz": {
        "get": {
            "operationId": "readyz",
            "summary": "Whether leads can be kept and are delivered",
            "tags": ["watching"],
            "security": [],
            "responses": {
                "200": _json(
                    "They are.", status={"const": "ready"}, worker_seen_seconds_ago={"type": "number", "minimum": 0}
                ),
                "503": _problem("The store can't be written, or no worker was seen for a minute."),
                **_TOO_MANY,
            },
        }
    },
    "/metrics": {
        "get": {
            "operationId": "metrics",
            "summary": "Figures for Prometheus; nothing personal",
            "tags": ["watching"],
            "security": [],
            "responses": {
                "200": {"description": "Figures.", "content": {"text/plain": {"schema": {"type": "string"}}}},
                "503": _problem("The store can't be used at the moment.", headers=RETRY),
                **_TOO_MANY,
            },
        }
    },
    "/openapi.json": {
        "get": {
            "operationId": "document",
            "summary": "This document",
            "tags": ["watching"],
            "security": [],
            "responses": {
                "200": {"description": "It.", "content": {"application/json": {"schema": {"type": "object"}}}},
                **_TOO_MANY,
            },
        }
    },
}
