"""Quarantine: bodies that are no leads, with the error marked, an editor, a preview, and a way out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for

from app.decoding import Rejection
from app.lead import Lead
from app.operations import NotPossible
from app.store.tables import Status
from app.web.console.asking import reasoned, said
from app.web.console.guards import who
from app.web.console.readable import unseen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from werkzeug.wrappers import Response as Answer

    from app.operations import Operations
    from app.wiring import Wiring

PAGE = 50
EDITABLE = 150_000  # bytes: a form triples what is not plain letters, and forms have a limit of their own
AROUND = 200  # lines shown on each side of an error in a long body
WIDE = 2000  # letters shown on each side of the error in a long line


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a body; where the error is in it, `at` is the letter of it and `after` what follows."""

    number: int
    text: str
    at: str | None = None
    after: str = ""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A body as text that can be looked at and edited."""

    text: str
    encoding: str
    exact: bool  # every byte of it is in the text


def register(blueprint: Blueprint, wiring: Wiring) -> None:
    """Add the list, one body's page and what its buttons do."""
    operations = wiring.operations

    @blueprint.get("/quarantine")
    def quarantine() -> str:
        found = operations.quarantined(limit=PAGE, before=request.args.get("before") or None)
        return render_template(
            "console/quarantine.html",
            bodies=[{**one, "where": place(one["errors"])} for one in found],
            number=operations.quarantined_count(),
            before=request.args.get("before"),
            older=found[-1]["id"] if len(found) == PAGE else None,
        )

    @blueprint.get("/quarantine/<id>")
    def quarantined(id: str) -> Answer | str:  # noqa: A002  (the address's word)
        return _reason(operations, id)

    @blueprint.post("/quarantine/<id>")
    @said("console.quarantined")
    def quarantined_show(id: str) -> Answer | str:  # noqa: A002
        read = as_text(operations.quarantined_body(id, who=who()))
        return _editor(operations, id, read, operations.preview(id))

    @blueprint.post("/quarantine/<id>/edit")
    def quarantined_edit(id: str) -> Answer | str:  # noqa: A002
        text = _plain_lines(request.form.get("body", ""))
        # Untouched, the bytes themselves are read again: they may hold what a text box does not.
        body = None if fingerprint(text) == request.form.get("shown") else text.encode()
        read = Text(text=text, encoding="UTF-8", exact=True)
        try:
            return _act(operations, id, body, read)
        except NotPossible as refused:
            flash(str(refused), "danger")
            return _editor(operations, id, read, None)

    @blueprint.post("/quarantine/<id>/release")
    @said("console.quarantined")
    def quarantined_release(id: str) -> Answer:  # noqa: A002
        return _released(id, operations.release(id, who=reasoned()))

    @blueprint.post("/quarantine/<id>/discard")
    @said("console.quarantined")
    def quarantined_discard(id: str) -> Answer:  # noqa: A002
        number = operations.discard_quarantined([id], who=reasoned())
        flash(f"{id} is given up." if number else f"{id} is not in quarantine any more.", "success")
        return redirect(url_for("console.quarantine"))

    @blueprint.get("/quarantine/<id>/edit")
    def quarantined_edited(id: str) -> Answer:  # noqa: A002
        return redirect(url_for("console.quarantined", id=id))


def _act(operations: Operations, id_: str, body: bytes | None, read: Text) -> Answer | str:
    """Do what the editor's button says with the text in it, which stays there as long as it is no lead."""
    act = request.form.get("act", "preview")
    if act == "preview":
        return _editor(operations, id_, read, operations.preview(id_, body=body), previewed=True)
    if act == "save" and body is not None:
        found = operations.repair(id_, body=body, who=reasoned())
    elif act == "save":
        found = operations.preview(id_)
    else:
        found = operations.release(id_, who=reasoned(), body=body)
    if isinstance(found, Rejection):
        kept = "Your text is saved" if act == "save" else "Nothing was changed"
        flash(f"It is still no lead. {kept}.", "warning")
        return _editor(operations, id_, read, found, shown=fingerprint(read.text) if act == "save" else None)
    if act == "save":
        flash("Saved. It reads as a lead now and can be released.", "success")
        return redirect(url_for("console.quarantined", id=id_))
    return _released(id_, found)


def _released(id_: str, read: Lead | Rejection) -> Answer:
    if isinstance(read, Rejection):
        flash(f"It is still no lead. {read.title}: {read.detail}", "warning")
        return redirect(url_for("console.quarantined", id=id_))
    flash("Released. It is delivered under the id that its sender was told.", "success")
    return redirect(url_for("console.lead", id=id_))


def _reason(operations: Operations, id_: str) -> Answer | str:
    """Show why a body is no lead, without the body."""
    try:
        found = operations.show(id_)
    except NotPossible:
        abort(404)
    if found["status"] != Status.QUARANTINED:
        return redirect(url_for("console.lead", id=id_))
    try:
        read, withheld = operations.preview(id_), None
    except NotPossible as refused:
        read, withheld = None, str(refused)
    return render_template(
        "console/quarantined.html",
        lead=found,
        rejection=read if isinstance(read, Rejection) else None,
        ready=isinstance(read, Lead),
        withheld=withheld,
    )


def _editor(
    operations: Operations,
    id_: str,
    read: Text,
    found: Lead | Rejection | None,
    *,
    previewed: bool = False,
    shown: str | None = None,
) -> str:
    """Show a body with the error marked, in an editor, and if asked what it reads as."""
    rejection = found if isinstance(found, Rejection) else None
    size = len(read.text.encode())
    return render_template(
        "console/_quarantined_editor.html",
        lead=operations.show(id_),
        read=read,
        rejection=rejection,
        preview=found.as_dict() if previewed and isinstance(found, Lead) else None,
        ready=isinstance(found, Lead),
        lines=lines(read.text, rejection.errors if rejection else []),
        editable=size <= EDITABLE,
        size=size,
        unseen=unseen(read.text),
        # What was shown when it was opened stays the measure of whether it was touched.
        shown=shown or request.form.get("shown") or fingerprint(_plain_lines(read.text)),
    )


def as_text(body: bytes) -> Text:
    """Read a body for the eye; what is not text in its encoding is replaced, and that is said."""
    encoding = json.detect_encoding(body)
    name = encoding.removesuffix("-sig").upper()
    try:
        return Text(text=body.decode(encoding), encoding=name, exact=True)
    except UnicodeDecodeError:
        return Text(text=body.decode(encoding, "replace"), encoding=name, exact=False)


def fingerprint(text: str) -> str:
    """Give what tells whether a text was changed."""
    return sha256(text.encode()).hexdigest()


def _plain_lines(text: str) -> str:
    """Give a text with the line ends that a text box can keep."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(text: str, errors: Sequence[dict[str, Any]]) -> list[Line]:
    """Number the lines and mark where the first error is; of a long body only what is around it."""
    spot = next((one for one in errors if one.get("line")), {})
    row, column = spot.get("line", 1), spot.get("column", 1)
    numbered = [(number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), 1)]
    numbered = numbered[max(0, row - 1 - AROUND) : row + AROUND]
    return [
        _marked(number, line, column) if number == row and spot else Line(number=number, text=_cut(line))
        for number, line in numbered
    ]


def _marked(number: int, line: str, column: int) -> Line:
    before, at, after = line[: column - 1], line[column - 1 : column], line[column:]
    shown = before if len(before) <= WIDE else f"…{before[-WIDE:]}"
    return Line(number=number, text=shown, at=at, after=_cut(after))


def _cut(text: str) -> str:
    return text if len(text) <= WIDE else f"{text[:WIDE]}…"


def place(errors: Sequence[dict[str, Any]]) -> str:
    """Say where the first error is, as far as it is known."""
    first = errors[0] if errors else {}
    if "line" in first:
        return f"line {first['line']}, column {first['column']}"
    return str(first.get("path", ""))
