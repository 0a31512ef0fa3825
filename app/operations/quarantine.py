"""Quarantine: bodies that are no leads yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.decoding import FORM_TYPES, Rejection, is_json, media_type
from app.lead import Envelope, Lead
from app.operations.base import SEAL_BROKEN, Base, NotPossible
from app.store.sealing import SealBroken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.acts import Who


class Quarantine(Base):
    """The verbs of the quarantine."""

    def quarantined(self, *, limit: int | None = None, before: str | None = None) -> list[dict[str, Any]]:
        """What waits in quarantine, the latest first, without the bodies."""
        return self._views.quarantined(limit=limit, before=before)

    def quarantined_count(self) -> int:
        """Count what waits in quarantine."""
        return self._views.quarantined_count()

    def quarantined_body(self, id_: str, *, who: Who) -> bytes:
        """Give the body kept under `id_`; that is recorded, for it may name a person.

        Raises:
            NotPossible: nothing is quarantined under it, or its body was withheld.

        """
        body = self._quarantined(id_)[2]
        self._acts.record("reveal", f"{id_} body", now=self._now(), who=who)
        return body

    def _quarantined(self, id_: str) -> tuple[str, str, bytes]:
        try:
            found = self._views.body(id_)
        except SealBroken as exc:
            raise NotPossible(SEAL_BROKEN.format(exc)) from None
        if found is None:
            msg = f"Nothing is quarantined under {id_}."
            raise NotPossible(msg)
        source, content_type, body = found
        if body is None:
            msg = (
                f"The body of {id_} was not kept: an address of a withheld domain was in it. It can only be discarded."
            )
            raise NotPossible(msg)
        return source, content_type, body

    def _read_again(self, content_type: str, kept: bytes, repaired: bytes | None) -> tuple[Envelope, Lead | Rejection]:
        """Read a quarantined body, or the repaired one in its place, as it would be read if it came in now."""
        kind = media_type(content_type)
        # What a person has looked at since shows by itself what it is, unless it is a form; editors save UTF-8.
        as_declared = kind in FORM_TYPES or (repaired is None and is_json(kind))
        body = kept if repaired is None else repaired
        envelope = Envelope(body=body, content_type=content_type if as_declared else "")
        return envelope, self.intake.read(envelope)

    def preview(self, id_: str, *, body: bytes | None = None) -> Lead | Rejection:
        """Tell how a quarantined body, or `body` in its place, reads; changes nothing.

        Raises:
            NotPossible: nothing is quarantined under it, or its body was withheld.

        """
        _, content_type, kept = self._quarantined(id_)
        return self._read_again(content_type, kept, body)[1]

    def repair(self, id_: str, *, body: bytes, who: Who) -> Lead | Rejection:
        """Put another body in place of a quarantined one; gives how it reads now.

        Raises:
            NotPossible: nothing is quarantined under it, or the body must not be kept.

        """
        _, content_type, before = self._quarantined(id_)
        envelope, read = self._read_again(content_type, before, body)
        ready = Rejection(200, "Ready to be released", "It reads as a lead now.")
        kept = self.intake.quarantined(read if isinstance(read, Rejection) else ready, envelope)
        if kept.body is None and not isinstance(read, Rejection):
            msg = "The body has an address of a withheld domain: it can't be kept as it is. Release it in one step."
            raise NotPossible(msg)
        self._acts.repair(id_, kept, now=self._now(), who=who)
        return read

    def release(self, id_: str, *, who: Who, body: bytes | None = None) -> Lead | Rejection:
        """Let a quarantined body flow as the lead it holds; a Rejection says why it still is none.

        `body` is a repaired one that takes its place in the same step.

        Raises:
            NotPossible: nothing is quarantined under it, or its source is configured no more.

        """
        source, content_type, kept = self._quarantined(id_)
        if source not in self.settings.sources:
            msg = (
                f"{id_} came from {source!r}, which is no longer a source in {self.settings.where}. Put it back first."
            )
            raise NotPossible(msg)
        envelope, read = self._read_again(content_type, kept, body)
        if isinstance(read, Lead):
            arrival = self.intake.arrival(read, envelope, source=source)
            self._acts.release(id_, arrival, now=self._now(), who=who)
        return read

    def discard_quarantined(self, ids: Sequence[str], *, who: Who) -> int:
        """Give up quarantined bodies; gives how many."""
        return self._acts.discard_quarantined(ids, now=self._now(), who=who)
