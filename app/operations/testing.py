"""Test leads: posted as Microsoft posts them, so that the whole way is tried."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from app.operations.base import Base, NotPossible

if TYPE_CHECKING:
    from app.catalogue import Explanation
    from app.store.acts import Who

ACCEPTED = 202
NO_KEY = 401


class Testing(Base):
    """The verbs of who wants to know whether it works, and what an error means."""

    def send_test(
        self,
        *,
        who: Who,
        source: str | None = None,
        offer: str | None = None,
        url: str | None = None,
        timeout: float = 15,
    ) -> str:
        """Post a test lead to this server (or to `url`, key included) and give the lead's id; `show` follows it.

        `offer` is `publisher.offer` or a title. `timeout` in seconds.

        Raises:
            NotPossible: it was not taken; the message has no key in it.

        """
        id_ = _post(url or self._own_url(source), _body(offer), timeout)
        self._acts.record("send-test", id_, now=self._now(), who=who)
        return id_

    def _own_url(self, source: str | None) -> str:
        sources = self.settings.sources
        name = source or next(iter(sources))
        if name not in sources:
            msg = f"No source {name!r} is configured; there are: {', '.join(sources)}."
            raise NotPossible(msg)
        host, port = self.settings.server.address
        local = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  (listening there, not here)
        host_text = f"[{local}]" if ":" in local else local
        return f"http://{host_text}:{port}/leads?code={quote(sources[name].keys[0].reveal(), safe='')}"

    def send_test_alert(self, *, who: Who) -> list[dict[str, Any]]:
        """Send a trial alert on each channel; gives channel, ok, code, title, remedy of each.

        Raises:
            NotPossible: `[alerts]` names no channel.

        """
        results = self.try_alerts()
        if not results:
            msg = f"No alerts are configured: set [alerts] via or webhook in {self.settings.where}."
            raise NotPossible(msg)
        told = " ".join(f"{one['channel']}:{one['code'] or 'ok'}" for one in results)
        self._acts.record("alert-test", told, now=self._now(), who=who)
        return results

    def explain(self, text: str) -> Explanation:
        """Say what an error text means: an entry of the catalogue, the candidates, or nothing."""
        return self.catalogue.explain(text)


def _body(offer: str | None) -> dict[str, Any]:
    mark = f"MSFT_TEST_{datetime.now(UTC):%Y%m%d%H%M%S%f}"
    person = {"FirstName": mark, "LastName": mark, "Email": f"{mark}@test.com", "Phone": "1234567890"}
    named = offer is not None and "." in offer and " " not in offer
    return {
        "UserDetails": {**person, "Country": "US", "Company": mark, "Title": mark},
        "LeadSource": f"AzureMarketplace-INS|{offer}" if named else "AzureMarketplace",
        "ActionCode": "INS",
        "OfferTitle": offer or "Contoso Test",
        "Description": mark,
    }


def _post(url: str, body: dict[str, Any], timeout: float) -> str:
    import requests  # noqa: PLC0415  (a receiver has no other use for it)

    shown = urlsplit(url)._replace(query="", fragment="").geturl()
    try:
        answer = requests.post(url, json=body, timeout=timeout, allow_redirects=False)
    except requests.RequestException as exc:
        msg = f"{shown} can't be reached ({type(exc).__name__}). Is `leadwire serve` running?"
        raise NotPossible(msg) from None
    try:
        document = answer.json()
    except ValueError:
        document = {}
    if answer.status_code != ACCEPTED or not isinstance(document, dict) or "id" not in document:
        title = document.get("title", "no Leadwire answers there") if isinstance(document, dict) else ""
        msg = f"{shown} answered {answer.status_code}: {title}."
        if answer.status_code == NO_KEY:
            msg += " The server there has other keys than this configuration (or the URL given)."
        raise NotPossible(msg)
    return str(document["id"])
