"""The ways an alert goes out: a mail through an e-mail destination, a message to a webhook.

A channel sends once or raises; when to try again is the watch's business.
"""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import urlsplit

from app.alerts import words
from app.destinations.base import DeliveryFailed, network_failure, parse_retry_after
from app.log import logger, where_from
from app.settings.kinds import is_forbidden_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import requests

    from app.alerts.words import Said
    from app.catalogue import Catalogue
    from app.destinations.email import Email
    from app.settings import Secret
    from app.settings.model import Alerts

log = logger("alerts")
MAIL, WEBHOOK = "mail", "webhook"
TIMEOUT = (5.0, 15.0)  # seconds to connect, and for an answer
REFUSED_ADDRESS = "leadwire.webhook-address-refused"
_SUCCESS = range(200, 300)


class Channel(Protocol):
    """One way out. Used by one thread."""

    name: ClassVar[str]
    type: ClassVar[str]  # whose errors the catalogue looks for

    def send(self, id_: str, said: Said, *, at: datetime) -> None:
        """Send an alert that was made `at`; the same `id_` again is recognised as the same where that can be done.

        Raises:
            DeliveryFailed: it was not taken, as far as is known.

        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class MailChannel:
    """Mails, by the transport of an e-mail destination."""

    name: ClassVar[str] = MAIL
    type: ClassVar[str] = "email"

    def __init__(self, email: Email) -> None:
        """Take a destination of our own, which no lane uses."""
        self._email = email

    def send(self, id_: str, said: Said, *, at: datetime) -> None:
        """Mail it; a second copy has the same Message-ID."""
        steps = [(f"{number}.", step) for number, step in enumerate(words.steps(said), 1)]
        link = [("Open", said["link"])] if said["link"] else []
        self._email.tell(
            id_,
            subject=words.subject(said),
            title=words.opening(said),
            parts=[(words.facts(said) + link, said["cause"] if steps else ""), (steps, "")],
            at=at,
        )

    def close(self) -> None:
        """Close the destination."""
        self._email.close()


class WebhookChannel:
    """Posts JSON to an address that is a secret: it stands in no message and no log."""

    name: ClassVar[str] = WEBHOOK
    type: ClassVar[str] = "leadwire"

    def __init__(self, url: Secret, form: str, now: Callable[[], datetime]) -> None:
        """Take where, in which form ("slack", "teams", "json"), and the clock for a `Retry-After` that is a date."""
        self._url = url
        self._form = FORMS[form]
        self._now = now
        self._session: requests.Session | None = None

    def send(self, id_: str, said: Said, *, at: datetime) -> None:
        """Post it; any answer but a 2xx is a failure, a redirect too."""
        import requests  # noqa: PLC0415  (only who sends pays for it)

        from app.alerts.reaching import guarded_session  # noqa: PLC0415  (as above)

        url = self._url.reveal()
        _see_allowed(url)
        headers = {"Content-Type": "application/json", "Idempotency-Key": id_}
        body = json.dumps(self._form(id_, said, at))
        self._session = self._session or guarded_session(REFUSED_ADDRESS)
        try:
            answer = self._session.post(url, data=body, headers=headers, timeout=TIMEOUT, stream=True)
        except requests.RequestException as exc:
            raise network_failure(exc) from None
        except ValueError as exc:  # an address that only the library finds fault with
            raise DeliveryFailed(REFUSED_ADDRESS, detail=type(exc).__name__) from None
        with answer:  # its text is not read: it is of no use and may be of any length
            if answer.status_code not in _SUCCESS:
                wait = parse_retry_after(answer.headers.get("Retry-After"), now=self._now())
                raise DeliveryFailed(status=answer.status_code, retry_after=wait)

    def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            self._session.close()
        self._session = None


def make_channels(settings: Alerts, *, email: Callable[[str], Email], now: Callable[[], datetime]) -> list[Channel]:
    """Make what is configured; `email` makes the destination of a name."""
    made: list[Channel] = []
    if settings.via:
        through = email(settings.via)
        made.append(MailChannel(through.addressed(settings.to) if settings.to else through))
    if settings.webhook:
        made.append(WebhookChannel(settings.webhook, settings.webhook_format, now))
    return made


def configured(settings: Alerts) -> list[str]:
    """Name the channels that the settings ask for."""
    return [name for name, value in ((MAIL, settings.via), (WEBHOOK, settings.webhook)) if value]


def try_channels(
    channels: Sequence[Channel], *, catalogue: Catalogue, id_: str, link: str | None, now: datetime
) -> list[dict[str, Any]]:
    """Send a trial alert on each; gives `channel`, `ok`, `code`, `title` and `remedy` (None and [] where it went)."""
    results = []
    for channel in channels:
        failure = attempt(channel, id_, words.trial(link), at=now)
        entry = None if failure is None else explained(failure, channel, catalogue)
        results.append(
            {
                "channel": channel.name,
                "ok": entry is None,
                "code": entry.code if entry else None,
                "title": entry.title if entry else None,
                "remedy": list(entry.remedy) if entry else [],
            }
        )
        channel.close()
    return results


def attempt(channel: Channel, id_: str, said: Said, *, at: datetime) -> DeliveryFailed | None:
    """Send once; gives what went wrong, whatever it was."""
    try:
        channel.send(id_, said, at=at)
    except DeliveryFailed as failed:
        return failed
    except Exception as exc:  # noqa: BLE001  (a fault of ours in one channel must not silence the other)
        log.error("alert.crashed", channel=channel.name, exception=type(exc).__name__, frames=where_from(exc))
        return DeliveryFailed(detail=type(exc).__name__)
    return None


def explained(failure: DeliveryFailed, channel: Channel, catalogue: Catalogue) -> Any:  # noqa: ANN401
    """Give the catalogue's entry of a failure."""
    return catalogue.translate(channel.type, code=failure.code, status=failure.status, detail=failure.detail)


def _see_allowed(url: str) -> None:
    """Refuse a host that leads to this machine's link or cloud: whoever may set the address must not read those.

    Raises:
        DeliveryFailed: it does.

    """
    host = urlsplit(url).hostname or ""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        found = set()  # connecting will say so, or a proxy knows the name
    if any(is_forbidden_host(one) for one in (host, *found)):
        raise DeliveryFailed(REFUSED_ADDRESS)


# --- The forms a message can have


def _slack(_: str, said: Said, __: datetime) -> dict[str, Any]:
    text = f"*{_marked(words.subject(said))}*\n{_marked(words.plain(said))}"
    return {"text": text}


def _marked(text: str) -> str:
    """Spell out what Slack reads as the beginning of a link or a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(_: str, said: Said, __: datetime) -> dict[str, Any]:
    body: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": words.subject(said), "weight": "Bolder", "size": "Medium", "wrap": True},
        {"type": "TextBlock", "text": words.opening(said), "wrap": True},
        {"type": "FactSet", "facts": [{"title": label, "value": value} for label, value in words.facts(said)]},
    ]
    told = words.steps(said)
    lines = [said["cause"], *(f"{number}. {step}" for number, step in enumerate(told, 1))] if told else []
    body += [{"type": "TextBlock", "text": line, "wrap": True} for line in lines]
    link = [{"type": "Action.OpenUrl", "title": "Open Leadwire", "url": said["link"]}] if said["link"] else []
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": link,
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


def _whole(id_: str, said: Said, at: datetime) -> dict[str, Any]:
    made = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": id_, "at": made, "subject": words.subject(said), "text": words.plain(said), **said}


FORMS: dict[str, Callable[[str, Said, datetime], dict[str, Any]]] = {"slack": _slack, "teams": _teams, "json": _whole}
