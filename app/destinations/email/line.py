"""One connection to a mail server, and how its replies are read."""

from __future__ import annotations

import re
import smtplib
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.destinations.base import CONNECT_TIMEOUT, DeliveryFailed, network_failure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

CHALLENGE = 334  # the server wants the next step of signing in
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\d)")
_DETAIL = 2000


def refusal(code: int, text: bytes | str) -> DeliveryFailed:
    """Read a reply that isn't a yes as "<status> <enhanced>", or the status alone where nothing more was given."""
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if not 200 <= code <= 599:  # noqa: PLR2004  (not SMTP at all)
        return DeliveryFailed("network.interrupted", detail="the answer is not SMTP")
    enhanced = _ENHANCED.match(told)
    name = f"{code} {enhanced.group()}" if enhanced else str(code)
    return DeliveryFailed(name, status=code, detail=told[:_DETAIL])


class Line(smtplib.SMTP):
    """A connection whose first step has its own, shorter timeout, and which may speak TLS from the first byte."""

    def __init__(self, host: str, port: int, *, greeting: str, timeout: float, context: ssl.SSLContext | None) -> None:
        """Connect and hear the server's greeting; `greeting` is the name we give, `context` for TLS at once."""
        self._implicit = context
        super().__init__(host, port, local_hostname=greeting, timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        """Dial; smtplib's own subclass for TLS replaces the same step."""
        sock = socket.create_connection((host, port), min(CONNECT_TIMEOUT, timeout))
        sock.settimeout(timeout)
        return self._implicit.wrap_socket(sock, server_hostname=host) if self._implicit else sock


@contextmanager
def read_errors() -> Iterator[None]:
    """Turn what smtplib, ssl and sockets raise into `DeliveryFailed`, leaving their texts (and addresses) behind."""
    try:
        yield
    except smtplib.SMTPResponseException as exc:
        raise refusal(exc.smtp_code, exc.smtp_error) from None
    except (OSError, ValueError) as exc:
        raise network_failure(exc) from None


def refused_by(reply: tuple[int, bytes]) -> DeliveryFailed | None:
    """Read a reply: None is yes."""
    return None if reply[0] // 100 == 2 else refusal(*reply)  # noqa: PLR2004  (2xx is SMTP's yes)


def expect(reply: tuple[int, bytes]) -> None:
    """Raise `DeliveryFailed` unless the reply is yes."""
    if failed := refused_by(reply):
        raise failed


def ends_line(failed: DeliveryFailed) -> bool:
    """Say whether nothing more can be said on this connection: 421 announces its end."""
    return failed.status == 421 or (failed.code or "").startswith("network.")  # noqa: PLR2004


def cleared(line: Line) -> DeliveryFailed | None:
    """End a half-done transaction; what is wrong with the line, if it can't be."""
    try:
        with read_errors():
            expect(line.rset())
    except DeliveryFailed as failed:
        return failed
    return None
