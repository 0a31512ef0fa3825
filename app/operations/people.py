"""People: forget one who asks for it, and delete what is older than retention says."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from app.operations.base import Base, NotPossible
from app.store.inbox import person_key
from app.store.tables import to_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.acts import Who


class People(Base):
    """The verbs that forget."""

    def find_person(self, email: str) -> list[str]:
        """Give the ids of everything that holds an e-mail address.

        Raises:
            NotPossible: that is no whole address.

        """
        key = person_key(self.store, email)
        local, _, domain = email.strip().rpartition("@")
        if key is None or not local or not domain:
            msg = "Give a whole e-mail address, such as someone@contoso.com."
            raise NotPossible(msg)
        return self._acts.find_person(email.strip(), key)

    def erase(self, ids: Sequence[str], *, who: Who) -> list[dict[str, Any]]:
        """Forget who these leads were; gives the destinations that still hold them, with record ids."""
        return self._acts.erase(ids, now=self._now(), who=who)

    def purge(self, *, who: Who) -> dict[str, int]:
        """Delete what retention says; gives how much of each."""
        now, kept = self.now(), self.settings.retention
        tests = self.settings.test_leads.keep_days

        def days_ago(days: float) -> int:
            return to_ms(now - timedelta(days=days))

        return self._acts.purge(
            leads=days_ago(kept.leads_days),
            tests=days_ago(tests),
            bodies=days_ago(kept.quarantine_days),
            tries=days_ago(kept.attempts_days),
            keys=days_ago(self.settings.duplicates.window_hours / 24),
            now=to_ms(now),
            who=who,
        )
