"""Settings: what is configured and where it comes from, each source's address, connections, tokens, retention."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from app.alerts.channels import configured
from app.web.console.asking import said
from app.web.console.guards import who

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as Answer

    from app.operations import Operations
    from app.wiring import Wiring

AT_ONCE = 4  # destinations tried at the same time
ROLES = ("reader", "operator")


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the page and what its buttons do."""
    operations = wiring.operations
    _add_connections(blueprint, wiring)
    _add_tokens(blueprint, wiring)

    @blueprint.get("/settings")
    def settings() -> str:
        return _page(wiring)

    @blueprint.post("/settings/source-url")
    @said("console.settings")
    def settings_url() -> str:
        source, key = request.form.get("source", ""), request.form.get("key", "")
        url = operations.source_url(source, key, who=who())
        return _page(wiring, shown={"source": source, "fingerprint": key, "url": url})

    @blueprint.post("/settings/alert-test")
    @said("console.settings")
    def settings_alert() -> Answer:
        for one in operations.send_test_alert(who=who()):
            if one["ok"]:
                flash(f"{one['channel']}: the trial alert went out.", "success")
            else:
                flash(f"{one['channel']}: {one['title']}. {' '.join(one['remedy'])}", "danger")
        return redirect(url_for("console.settings", _anchor="alerts"))

    @blueprint.post("/settings/purge")
    @said("console.settings")
    def settings_purge() -> Answer:
        counts = operations.purge(who=who())
        deleted = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number)
        flash(f"Deleted: {deleted}." if deleted else "Nothing was old enough to be deleted.", "success")
        return redirect(url_for("console.settings", _anchor="retention"))


def _add_connections(blueprint: Blueprint, wiring: Wiring) -> None:
    @blueprint.post("/settings/check")
    @said("console.settings")
    def settings_check() -> Answer:
        wanted = request.form.get("destination")
        names = [wanted] if wanted else list(wiring.settings.destinations)
        one_who = who()
        with ThreadPoolExecutor(AT_ONCE) as pool:  # one that hangs must not keep the others waiting
            results = list(pool.map(lambda name: wiring.operations.check(name, who=one_who), names))
        _tell(results)
        return redirect(url_for("console.settings", _anchor="destinations"))


def _tell(results: list[dict[str, Any]]) -> None:
    for one in results:
        if one["ok"]:
            flash(f"{one['name']}: connected.", "success")
        else:
            flash(f"{one['name']}: {one.get('title') or one['code']}. {one['detail']}", "danger")


def _add_tokens(blueprint: Blueprint, wiring: Wiring) -> None:
    operations = wiring.operations

    @blueprint.post("/settings/tokens")
    @said("console.settings")
    def settings_token() -> Answer | str:
        name, role = request.form.get("name", "").strip(), request.form.get("role", "")
        id_, text = operations.new_token(name, role, who=who())
        return _page(wiring, made={"id": id_, "name": name, "role": role, "text": text})

    @blueprint.post("/settings/tokens/<id>/revoke")
    @said("console.settings", whole=True)
    def settings_token_revoke(id: str) -> Answer:  # noqa: A002  (the address's word)
        operations.revoke_token(id, who=who())
        flash("The token is revoked: it opens nothing any more.", "success")
        return redirect(url_for("console.settings", _anchor="tokens"))


def _page(wiring: Wiring, *, shown: dict[str, str] | None = None, made: dict[str, str] | None = None) -> str:
    """Render the page; `shown` is an address with its key and `made` a new token, both on this one answer only."""
    operations, settings = wiring.operations, wiring.settings
    return render_template(
        "console/settings.html",
        sections=_by_section(operations),
        where=settings.where,
        addresses=operations.addresses(),
        shown=shown,
        destinations={name: table["type"] for name, table in settings.destinations.items()},
        checks=operations.checks(),
        routes=settings.routes,
        tokens=operations.tokens(),
        made=made,
        roles=ROLES,
        channels=configured(settings.alerts),
        retention=settings.retention,
        test_days=settings.test_leads.keep_days,
        entries=len(operations.catalogue),
    )


def _by_section(operations: Operations) -> dict[str, list[dict[str, Any]]]:
    sections: dict[str, list[dict[str, Any]]] = {}
    for row in operations.settings_shown():
        sections.setdefault(row["section"], []).append(row)
    return sections
