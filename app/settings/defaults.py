"""The defaults that depend on what else is configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DEFAULT_PASSWORD = "file:var/console.password"  # noqa: S105  (where it is, not what it is)
DEFAULT_STORE = "sqlite:///var/leadwire.db"


def with_defaults(document: dict[str, Any], *, first_start: bool = False) -> dict[str, Any]:
    """Fill in the tables that depend on each other: destinations, sources (all destinations), their key files.

    The console's own password file is named where it exists, or is about to be made: who never starts `serve` on a
    machine needs none there.
    """
    document = {"sources": {"marketplace": {}}, "console": {}, **document}
    destinations = document.setdefault("destinations", {"archive": {"type": "file", "path": "var/leads.jsonl"}})
    names = list(destinations) if isinstance(destinations, dict) else []
    sources, console = document["sources"], document["console"]
    if isinstance(sources, dict):
        document["sources"] = {
            name: {"keys": [f"file:var/{name}.key"], "destinations": names, **source}
            if isinstance(source, dict)
            else source
            for name, source in sources.items()
        }
    signs_in_by_password = {"enabled": True, "sign_in": "password"}
    named = first_start or Path(DEFAULT_PASSWORD.removeprefix("file:")).exists()
    if (
        named
        and isinstance(console, dict)
        and signs_in_by_password.items() <= {**signs_in_by_password, **console}.items()
    ):
        document["console"] = {"password": DEFAULT_PASSWORD, **console}
    return document
