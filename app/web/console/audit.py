"""Audit: who did what, to what, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Blueprint, flash, render_template, request

from app.operations import NotPossible

if TYPE_CHECKING:
    from app.wiring import Wiring

PAGE = 100
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
ACTIONS = (
    "acknowledge", "check", "discard", "erase", "purge", "release", "repair", "replay", "reveal", "reveal-address",
    "send-test", "sign-in", "sign-in-refused", "sign-out", "step-done", "step-undone", "token-made", "token-revoked",
)  # fmt: skip
NAMES = ("actor", "action", "target")


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the page."""
    operations = wiring.operations

    @blueprint.get("/audit/verification")
    def audit_verification() -> str:
        head = request.args.get("head", "").strip() or None
        try:
            found = operations.verify_audit(head=head)
        except NotPossible as no_head:
            flash(str(no_head), "warning")
            found = None
        return render_template("console/audit_verification.html", found=found, head=head)

    @blueprint.get("/audit")
    def audit() -> str:
        kept = {name: text for name in NAMES if (text := request.args.get(name, "").strip()[:200])}
        before = request.args.get("before", "")
        from_ = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None  # noqa: PLR2004
        rows = operations.audit(before=from_, limit=PAGE, **kept)
        for row in rows:
            found = ID.match(row["target"])
            row["lead"] = found[0] if found and not row["action"].startswith(("step", "ack")) else None
        older = rows[-1]["id"] if len(rows) == PAGE else None
        return render_template("console/audit.html", rows=rows, kept=kept, older=older, before=before, actions=ACTIONS)
