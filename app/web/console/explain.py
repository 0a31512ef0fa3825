"""Explain: paste an error, get the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request

from app.catalogue import Explanation

if TYPE_CHECKING:
    from app.wiring import Wiring

LONGEST = 20_000  # letters of an error text


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the page; what is pasted is kept nowhere."""
    operations = wiring.operations

    @blueprint.get("/explain")
    def explain() -> str:
        code = request.args.get("code", "").strip()
        known = code and code in operations.catalogue
        found = Explanation(entry=operations.catalogue.get(code)) if known else None
        return render_template("console/explain.html", found=found, text="", code=code, known=bool(known))

    @blueprint.post("/explain")
    def explain_text() -> str:
        text = request.form.get("text", "")[:LONGEST]
        found = operations.explain(text) if text.strip() else None
        return render_template("console/explain.html", found=found, text=text, code="", known=True)
