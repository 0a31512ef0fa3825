"""What is configured, who may ask, who did what: sources and their keys, settings, tokens, the audit."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from app.operations.base import Base, NotPossible
from app.settings import Secret, read_document
from app.store.auditing import verify
from app.store.key_uses import KeyUses
from app.store.tables import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.store.acts import Who

DEFAULT = "default"
PLAIN_NAME = r"[A-Za-z0-9][A-Za-z0-9 ._-]*"
LONGEST_NAME = 60  # letters


class Configuration(Base):
    """The verbs of settings, addresses, tokens and the audit."""

    def settings_shown(self) -> list[dict[str, Any]]:
        """Give every setting: section, key, value as text (a secret is "set") and where it comes from."""
        written = read_document(self.settings.path)
        return [
            {
                "section": section,
                "key": key,
                "value": _shown(value),
                "origin": self._origin(written, section, key, value),
            }
            for section, key, value in self._all()
        ]

    def _all(self) -> Iterator[tuple[str, str, Any]]:
        sections = (
            "server",
            "limits",
            "store",
            "encryption",
            "privacy",
            "duplicates",
            "test_leads",
            "delivery",
            "retention",
            "console",
            "alerts",
        )
        for section in sections:
            group = getattr(self.settings, section)
            for one in fields(group):
                yield section, one.name, getattr(group, one.name)
        for name, source in self.settings.sources.items():
            yield f"sources.{name}", "keys", source.keys
            yield f"sources.{name}", "destinations", source.destinations
            yield f"sources.{name}", "networks", source.networks
        for number, route in enumerate(self.settings.routes, 1):
            conditions = {one.name: getattr(route, one.name) for one in fields(route)}
            yield f"routes #{number}", "when", {name: value for name, value in conditions.items() if name != "to"}
            yield f"routes #{number}", "to", route.to
        for name, table in self.settings.destinations.items():
            for key, value in table.items():
                yield f"destinations.{name}", key, value

    def _origin(self, written: dict[str, Any], section: str, key: str, value: Any) -> str:  # noqa: ANN401
        references = [one.reference for one in _secrets(value)]
        if isinstance(value, str) and value.startswith(("env:", "file:")):
            references = [value]
        if references:
            return ", ".join(references)
        group: Any = written
        for name in section.split(" #", maxsplit=1)[0].split(".", 1):
            group = group.get(name, {}) if isinstance(group, dict) else group
        there = isinstance(group, list) or key in group
        return str(self.settings.path) if there and self.settings.path is not None else DEFAULT

    def addresses(self) -> list[dict[str, Any]]:
        """Give each source's address without its keys, and when each key was last used."""
        uses = KeyUses(self.store).all()
        return [
            {
                "source": name,
                "destinations": list(source.destinations),
                "url": f"{self.settings.server.public_url}/leads",
                "keys": [
                    {
                        "reference": key.reference,
                        "fingerprint": key.fingerprint,
                        "last_used_at": iso(uses.get(key.fingerprint)),
                    }
                    for key in source.keys
                ],
            }
            for name, source in self.settings.sources.items()
        ]

    def source_url(self, source: str, fingerprint: str, *, who: Who) -> str:
        """Give the whole address to paste into Partner Center, key included; that is recorded.

        Raises:
            NotPossible: no such source or key.

        """
        configured = self.settings.sources.get(source)
        keys = configured.keys if configured is not None else ()
        key = next((one for one in keys if one.fingerprint == fingerprint), None)
        if key is None:
            msg = f"Source {source!r} has no key {fingerprint!r}; `addresses` lists what there is."
            raise NotPossible(msg)
        self._acts.record("reveal-address", f"{source} {fingerprint}", now=self._now(), who=who)
        return f"{self.settings.server.public_url}/leads?code={quote(key.reveal(), safe='')}"

    def audit(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        target: str | None = None,
        action: str | None = None,
        actor: str | None = None,
    ) -> list[dict[str, Any]]:
        """Who did what, to what and why, the latest first; `target` is a lead's id or the first word of another."""
        return self._views.audit(before=before, limit=limit, target=target, action=action, actor=actor)

    def verify_audit(self, *, head: str | None = None) -> dict[str, Any]:
        """Tell whether the audit is as it was written; `head`: as it was shown once, it must still be in the chain.

        Raises:
            NotPossible: that is no head.

        """
        try:
            found = verify(self.store, kept=head)
        except ValueError as exc:
            raise NotPossible(str(exc)) from None
        return {"ok": found.fault is None, **found._asdict()}

    def tokens(self) -> list[dict[str, Any]]:
        """Give the API's tokens, without their texts."""
        return self.access.tokens()

    def new_token(self, name: str, role: str, *, who: Who) -> tuple[str, str]:
        """Make a token of the API; gives its id and its text, which is kept nowhere.

        Raises:
            NotPossible: no such role, or a name that the audit can't tell apart at sight.

        """
        if role not in ("reader", "operator"):
            msg = f"{role!r} is no role; there are: reader, operator."
            raise NotPossible(msg)
        named = name.strip()
        if len(named) > LONGEST_NAME or not re.fullmatch(PLAIN_NAME, named):
            msg = (
                f"A token needs a name of up to {LONGEST_NAME} letters, digits, blanks, dots, - and _, to be known "
                "by in the audit."
            )
            raise NotPossible(msg)
        return self.access.new_token(named, role, who=who)

    def revoke_token(self, id_: str, *, who: Who) -> None:
        """End a token.

        Raises:
            NotPossible: there is no such token, or it has ended already.

        """
        if not self.access.revoke_token(id_, who=who):
            msg = f"There is no token {id_} that could be revoked."
            raise NotPossible(msg)


def _secrets(value: Any) -> list[Secret]:  # noqa: ANN401
    if isinstance(value, Secret):
        return [value]
    return [one for one in value if isinstance(one, Secret)] if isinstance(value, tuple) else []


def _shown(value: Any) -> str:  # noqa: ANN401, PLR0911  (one line a kind of value)
    if value in (None, "", ()):
        return ""
    if _secrets(value) or (isinstance(value, str) and value.startswith(("env:", "file:"))):
        return "set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return _length(value)
    if isinstance(value, tuple | list):
        return ", ".join(_shown(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_shown(one)}" for name, one in value.items() if one is not None)
    return str(value) if not is_dataclass(value) else type(value).__name__


def _length(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
